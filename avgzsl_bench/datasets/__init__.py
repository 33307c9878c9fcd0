"""Data sets, one file each, and the tables of the user's own that the store knows."""

from pathlib import Path
from typing import TYPE_CHECKING

from avgzsl_bench import files, plugins
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.clips import Dataset

OWN = "own"
"""The feature set of a table of the user's own."""


def get(name: str) -> "Dataset":
    """The data set of a name: a registered one, else a table of the user's own from the store.

    Raises AvgzslError for an unknown name, with near matches over both.
    """
    if name in plugins.names("datasets"):
        found: Dataset = plugins.load("datasets", name)()
        return found
    if name not in own():
        raise AvgzslError(plugins.unknown("dataset", name, names(), "avgzsl list datasets"))
    from avgzsl_bench.datasets._table import Table

    return Table(name)


def names() -> list[str]:
    """Every name that `get` knows, sorted."""
    return sorted({*plugins.names("datasets"), *own()})


def own() -> list[str]:
    """Names of the user's own tables in the store, found without opening them."""
    return sorted(path.parent.name.removesuffix(f"-{OWN}-main") for path in _tables(files.data_root()))


def _tables(root: Path) -> list[Path]:
    return list(root.glob(f"[!.]*-{OWN}-main/manifest.json"))
