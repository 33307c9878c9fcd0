"""The alignment audit: which classes get another class's text from the reference loaders."""

from collections.abc import Sequence
from typing import NamedTuple

from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.text import kda_files, packs, sources

FAMILY = ("ucf", "activitynet", "vggsound")  # the data sets of the reference code
ROLES = {  # column -> the roles of the classes that it counts
    "all": ("train", "validation_unseen", "test_unseen", "unused"),
    "train": ("train",),
    "val. unseen": ("validation_unseen",),
    "seen test": ("train", "validation_unseen"),
    "unseen test": ("test_unseen",),
}


class Order(NamedTuple):
    """The order in which a reference loader serves texts."""

    source: str  # the text and its encoder, as `avgzsl run` takes them
    encoder: str
    rows: list[int]  # (classes,) whose text class 0, 1, ... gets
    of: str  # what the rows are in the order of


def orders(dataset: str, classes: Sequence[ClassInfo]) -> list[Order]:
    """The orders of the reference loaders on a data set; KDA's from its imported file, or as the release has it.

    The files of KDA are not ours to ship; that the order stated here is that of the files is tested where they are.
    """
    found = [
        Order(sources.NAMES, encoder, sources.row_order(sources.NAMES, dataset, classes, encoder), "the sorted names")
        for encoder in sources.REFERENCE[sources.NAMES]
    ]
    if packs.KDA in packs.names(dataset):
        rows = sources.row_order(packs.KDA, dataset, classes, "clip")
        return [*found, Order(packs.KDA, "clip", rows, "the imported file of KDA")]
    released = kda_files.row_order(dataset, classes)
    return [*found, *([Order(packs.KDA, "clip", released, "the released file of KDA")] if released else [])]


def wrong(order: Order, classes: Sequence[ClassInfo], column: str = "all") -> list[int]:
    """Ids of the classes of a column that get another class's text."""
    return [i for i, info in enumerate(classes) if order.rows[i] != i and info.role in ROLES[column]]


def counts(order: Order, classes: Sequence[ClassInfo]) -> dict[str, tuple[int, int]]:
    """column -> (classes that get another's text, classes)."""
    totals = {column: sum(info.role in roles for info in classes) for column, roles in ROLES.items()}
    return {column: (len(wrong(order, classes, column)), total) for column, total in totals.items()}
