"""What papers print: recipes and numbers, one TOML file a paper, its stem the citation key.

A file holds `title`, `authors`, `year`, `venue`, `url`, `citation` (BibTeX; what is not known is left empty), and any number of

    [[recipe]]                     # settings that the paper, or its scripts, state for a method
    method = "kda"                 # "*" = any, also for dataset, features, split and form
    dataset = "ucf"
    features = "selavi"
    split = "main"
    form = "paper"                 # left out: any form
    source = "paper"               # paper, script (of the authors' code) or default (ours)
    chosen_on_test = ["epochs"]    # settings whose value was chosen on test numbers
    note = "where it is stated"
    settings = { epochs = 50 }     # keys of the method's Settings

    [[row]]                        # one printed result, per cent, as printed; a number that is not printed is left out
    table = "1"                    # a figure is written out: "Figure 2"; left out: in no table of the paper that is known
    method = "kda"
    label = "KDA"
    dataset = "ucf"
    features = "selavi"            # features that no data set here has keep a name of their own; "unknown" where none is known
    split = "main"
    encoder = "clip"               # of the class text; left out: not stated, or none that is registered here
    text = "kda"                   # "names" = class names; left out: not stated
    seen = 83.98
    unseen = 27.21
    harmonic_mean = 41.10
    zero_shot = 28.05
    via = "where it was read"      # left out: in the paper; else a secondary table, somebody else's README
    stated = false                 # left out: true; false = features and split are not said but found, as `note` tells
    note = "what must be known with the number"

    [[row]]                        # the same of an ablation, which stands in no leaderboard; what it compares is named
    ablation = "weight"            # encoder (of one text), text (by one encoder), components, weight (of a loss), modality
    table = "4"
    method = "kda"
    label = "1"                    # the row's name, as printed
    variant = "lambda 1"           # in what it differs from the headline row of its system; left out: in nothing
"""

import logging
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avgzsl_bench import plugins
from avgzsl_bench.errors import AvgzslError

log = logging.getLogger(__name__)

ANY = "*"
Percent = Annotated[float, Field(ge=0, le=100)]
Kind = Literal["", "encoder", "text", "components", "weight", "modality"]  # of ablation; "" = main results


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Recipe(_Entry):
    """Settings stated for a method; `*` stands for any."""

    key: str = Field("", description="Citation key of the paper: the stem of its file.")
    method: str
    dataset: str = ANY
    features: str = ANY
    split: str = ANY
    form: str = ANY
    source: Literal["paper", "script", "default"]
    note: str = ""
    chosen_on_test: tuple[str, ...] = ()
    settings: dict[str, Any]


class PublishedRow(_Entry):
    """One printed result: one system on one data set, features and split. Per cent, as printed; None = not printed."""

    key: str = Field("", description="Citation key of the paper: the stem of its file.")
    table: str = ""
    method: str
    label: str
    dataset: str
    features: str
    split: str
    seen: Percent | None = None
    unseen: Percent | None = None
    harmonic_mean: Percent | None = None
    zero_shot: Percent | None = None
    encoder: str = ""
    text: str = ""
    ablation: Kind = ""
    variant: str = ""
    stated: bool = True
    via: str = ""
    note: str = ""

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """What must agree for two rows to be about the same thing: system, data set, features, split and variant."""
        return self.method, self.dataset, self.features, self.split, self.variant

    @property
    def numbers(self) -> dict[str, float]:
        """What is printed of S, U, HM and ZSL, by metric."""
        found = {metric: getattr(self, metric) for metric in ("seen", "unseen", "harmonic_mean", "zero_shot")}
        return {metric: value for metric, value in found.items() if value is not None}

    @property
    def printed_in(self) -> str:
        """`Table 1 of chen2023`; `hong2023, read in ...` where the number was not read in the paper itself."""
        table = self.table if " " in self.table else f"Table {self.table}"
        paper = f"{table} of {self.key}" if self.table else self.key
        return f"{paper}, read in {self.via}" if self.via else paper


class Paper(_Entry):
    """One file: what is cited, and its recipes and rows."""

    key: str = ""
    title: str
    authors: str = Field("", description="Empty: not known.")
    year: int
    venue: str = ""
    url: str = ""
    citation: str = ""
    recipe: tuple[Recipe, ...] = ()
    row: tuple[PublishedRow, ...] = ()


def papers() -> list[Paper]:
    """Every readable file of ours and of plugins, in the order they are found; of two with one key the first counts.

    A stranger's file that cannot be read is left out with one logged line; one of ours raises AvgzslError.
    """
    found: dict[str, Paper] = {}
    for path in _paths():
        paper = _read(path)
        if paper and found.setdefault(paper.key, paper) is not paper:
            log.warning("%s is left out: the citation key %r is taken; rename the file", path, paper.key)
    return list(found.values())


def recipes() -> list[Recipe]:
    """Every recipe of every paper."""
    return [recipe for paper in papers() for recipe in paper.recipe]


def printed() -> list[PublishedRow]:
    """Every printed result of every paper, ablations and repetitions too."""
    return [row for paper in papers() for row in paper.row]


def rows(ablation: Kind = "") -> list[PublishedRow]:
    """The printed results of leaderboards, none of which only repeats another; or every one of a kind of ablation."""
    found = [row for row in printed() if row.ablation == ablation]
    return found if ablation else _once(found)


def _once(found: list[PublishedRow]) -> list[PublishedRow]:
    """Without rows whose every number another row of the same system prints: the one with more, or read in the paper itself."""
    kept: dict[tuple[str, ...], list[PublishedRow]] = defaultdict(list)
    for row in sorted(found, key=lambda row: (-len(row.numbers), bool(row.via))):
        if not any(row.numbers.items() <= other.numbers.items() for other in kept[row.place]):
            kept[row.place].append(row)
    return [row for row in found if any(row is other for other in kept[row.place])]


def recipe_for(method: str, dataset: str, features: str, split: str, form: str) -> Recipe | None:
    """The most specific recipe for a run, or None. A named method counts before a named data set, features, split, form.

    Raises AvgzslError when two recipes are equally specific.
    """
    wanted = (method, dataset, features, split, form)
    fitting = [recipe for recipe in recipes() if all(own in (ANY, want) for own, want in zip(_keys(recipe), wanted, strict=True))]
    best = max((_named(recipe) for recipe in fitting), default=None)
    winners = [recipe for recipe in fitting if _named(recipe) == best]
    if len(winners) > 1:
        where = " and ".join(recipe.key for recipe in winners)
        raise AvgzslError(f"{where} both have a recipe for {method} on {dataset} ({features}, {split}, {form}); remove one")
    return winners[0] if winners else None


def _keys(recipe: Recipe) -> tuple[str, ...]:
    return recipe.method, recipe.dataset, recipe.features, recipe.split, recipe.form


def _named(recipe: Recipe) -> tuple[bool, ...]:
    return tuple(key != ANY for key in _keys(recipe))


def _paths() -> list[Path]:
    results = plugins.Events().emit("published")
    return [Path(path) for result in results for path in ([result] if isinstance(result, str | Path) else result)]


@cache
def _read(path: Path) -> Paper | None:
    """One file, read once a process, so that a stranger's fault is told once."""
    try:
        return parse(path)
    except AvgzslError as error:
        if path.parent == Path(__file__).parent:
            raise
        log.warning("%s; it is left out", error)
        return None


def parse(path: Path) -> Paper:
    """One file as a Paper. Raises AvgzslError naming the file and its first fault."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        signed = {kind: [{**entry, "key": path.stem} for entry in content.get(kind, ())] for kind in ("recipe", "row")}
        return Paper(**{**content, **signed, "key": path.stem})
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise AvgzslError(f"published file {path}: {place}: {fault['msg'].lower()}") from error
    except (OSError, ValueError, TypeError) as error:
        raise AvgzslError(f"published file {path} cannot be read: {error}") from error
