"""Recipes of reproductions, one TOML file each, its stem the name: which lines of which table are run on which data sets.

A file holds

    title = "Components of KDA"
    paper = "chen2023"             # whose printed numbers stand beside; left out: no paper prints this
    table = "3"
    drawn = "table"                # table (unranked), leaderboard (ranked: one encoder and one text) or embedding (a picture)
    seeds = 5                      # where the user says no number
    head = "Model"                 # what the first column names
    metrics = ["seen", "unseen", "harmonic_mean", "zero_shot"]  # in the paper's order
    remarks = ["what must be read with it"]
    of_print = ["what must be read with printed numbers, where there are any"]

    [[dataset]]                    # in the paper's order, and `demo`
    name = "ucf"
    features = "selavi"
    split = "main"
    stand_in = ""                  # the encoder that takes the place of every other one on synthetic data of its own
    remark = "what must be known of this column"

    [[line]]                       # in the paper's order
    label = "Baseline"             # as printed in that table
    ours = false                   # true: a line that the paper has not, which the page says
    apart = ""                     # a label of its own for what is measured, where it is another system than the printed one
    method = "kda"
    encoder = "clip"
    text = "descriptions"
    settings = { alignment_weight = 0 }
    search = { alignment_weight = [1, 10] }
    stand_in = { "encoder.dim" = 64 }  # settings of the stand-in, where lines differ in the encoder alone
    remark = "what must be known of this line"
"""

import tomllib
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from avgzsl_bench import plugins, published
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.published import PublishedRow

Metric = Literal["seen", "unseen", "harmonic_mean", "zero_shot"]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Place(_Entry):
    """The features and the split of a data set on which a table is about it."""

    name: str
    features: str
    split: str
    stand_in: str = ""
    remark: str = ""


class Line(_Entry):
    """One system, or one variant of one."""

    label: str = Field(min_length=1)
    method: str
    encoder: str = "clip"
    text: str = "descriptions"
    settings: dict[str, Any] = {}
    search: dict[str, list[Any]] = {}
    stand_in: dict[str, Any] = {}
    ours: bool = False
    apart: str = ""
    remark: str = ""

    @property
    def own(self) -> set[str]:
        """The settings that it gives or searches itself, by the part before the first dot."""
        return {key.partition(".")[0] for key in (*self.settings, *self.search)}


class Recipe(_Entry):
    """One file."""

    name: str
    title: str
    paper: str = ""
    table: str = ""
    drawn: Literal["table", "leaderboard", "embedding"] = "table"
    seeds: int = Field(5, ge=1)
    head: str = "Model"
    metrics: tuple[Metric, ...] = ("seen", "unseen", "harmonic_mean", "zero_shot")
    remarks: tuple[str, ...] = ()
    of_print: tuple[str, ...] = ()
    dataset: tuple[Place, ...] = Field(min_length=1)
    line: tuple[Line, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in (("line", [line.label for line in self.line]), ("dataset", [place.name for place in self.dataset])):
            if twice := [name for i, name in enumerate(names) if name in names[:i]]:
                raise ValueError(f"{what} {twice[0]!r} stands there twice")
        if self.drawn == "leaderboard" and len({(line.encoder, line.text) for line in self.line}) > 1:
            raise ValueError("a leaderboard is ranked, so that all of its lines need one encoder and one text")
        return self

    @property
    def printed_in(self) -> str:
        """`Table 3 of chen2023`, or nothing."""
        return f"{self.table if ' ' in self.table else f'Table {self.table}'} of {self.paper}" if self.paper else ""

    def printed(self, line: Line, place: Place) -> PublishedRow | None:
        """What the paper prints of a line on the features and split of a data set."""
        wanted = (self.paper, self.table, line.label, place.name, place.features, place.split)
        for row in published.printed():
            if (row.key, row.table, row.label, row.dataset, row.features, row.split) == wanted:
                return row
        return None


def names() -> list[str]:
    """Every reproduction."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))


def find(name: str) -> Recipe:
    """The recipe of a name. Raises AvgzslError for an unknown one."""
    if name not in names():
        raise AvgzslError(plugins.unknown("reproduction", name, names(), "avgzsl reproduce --help"))
    return parse(Path(__file__).parent / f"{name}.toml")


def parse(path: Path) -> Recipe:
    """One file. Raises AvgzslError naming the file and its first fault."""
    try:
        return Recipe(**{**tomllib.loads(path.read_text(encoding="utf-8")), "name": path.stem})
    except ValidationError as error:
        fault = error.errors()[0]
        place = "".join(f"{part}: " for part in fault["loc"])
        raise AvgzslError(f"reproduction {path}: {place}{fault['msg'].removeprefix('Value error, ')}") from error
    except (OSError, ValueError, TypeError) as error:
        raise AvgzslError(f"reproduction {path} cannot be read: {error}") from error
