"""What a reproduction has to do: its lines on the chosen data sets as runs, or the reason why one cannot be made here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avgzsl_bench import config, datasets, identity, plugins
from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import Method
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import data_root
from avgzsl_bench.identity import Plan
from avgzsl_bench.reproduce.recipes import Line, Place, Recipe
from avgzsl_bench.text import packs
from avgzsl_bench.text.sources import JOIN, NAMES, choose

REPLACED = "clip"
"""The encoder that --encoder replaces."""


@dataclass(frozen=True)
class Asked:
    """What the user may choose about a reproduction."""

    datasets: tuple[str, ...] = ()  # none: those that are imported
    seeds: int | None = None  # those of the recipe
    encoder: str | None = None  # in place of CLIP
    text: str | None = None  # in place of the pack of descriptions
    settings: Mapping[str, Any] = field(default_factory=dict)  # of every method that has them


@dataclass(frozen=True)
class Work:
    """One line on one data set. `reason` says why it cannot be run here; its plans are then empty."""

    line: Line
    place: Place
    runs: tuple[RunConfig, ...]
    plans: tuple[Plan, ...] = ()
    reason: str = ""


def plan(recipe: Recipe, asked: Asked, out: Path = Path("runs")) -> list[Work]:
    """The works of a reproduction, a line on all of its data sets before the next.

    Raises AvgzslError for data sets that the table has not, choices that do not fit it, and where no data set is imported.
    """
    places = _places(recipe, asked)
    _check(recipe, asked, places)
    seeds = recipe.seeds if asked.seeds is None else asked.seeds
    return [_work(line, place, asked, seeds, out) for line in recipe.line for place in places]


def _places(recipe: Recipe, asked: Asked) -> list[Place]:
    known = {place.name: place for place in recipe.dataset}
    for name in asked.datasets:
        if name not in known:
            near = plugins.near(name, list(known))
            raise AvgzslError(f"{recipe.name} has no data set {name!r}; {near}it has {', '.join(known)}")
    real = [place for place in recipe.dataset if not place.stand_in]
    chosen = [place for place in recipe.dataset if place.name in asked.datasets] or [place for place in real if _imported(place)]
    if not chosen:
        presets = {place.name: _preset(place) for place in real}
        commands = ", ".join(f"`avgzsl data import {name} PATH --features {preset}`" for name, preset in presets.items())
        made = [f"; --dataset {place.name} needs no data and shows its shape" for place in recipe.dataset if place.stand_in]
        raise AvgzslError(f"no data set of {recipe.name} is imported: {commands} brings one{''.join(made)}")
    return chosen


def _imported(place: Place) -> bool:
    try:
        datasets.get(place.name).open(data_root(), place.features, place.split)
    except AvgzslError:
        return False
    return True


def _preset(place: Place) -> str:
    presets = datasets.get(place.name).presets
    return next((preset for preset, own in presets.items() if own == (place.features, place.split)), place.features)


def _check(recipe: Recipe, asked: Asked, places: Sequence[Place]) -> None:
    """What would be wrong with every run is an error now, and no reason to leave lines out."""
    if asked.seeds is not None and asked.seeds < 1:
        raise AvgzslError(f"--seeds {asked.seeds}; give a number of seeds from 1 up")
    for place in places if asked.text not in (None, NAMES) else ():
        packs.find(str(asked.text), place.name, datasets.get(place.name).classes(place.split))
    for key, value in asked.settings.items():
        head = key.partition(".")[0]
        if any(head in line.own for line in recipe.line):
            raise AvgzslError(f"--set {key}: lines of {recipe.name} differ in {head}; leave it out")
        if not any(_takes(line, _encoder(line, place, asked), key, value) for line in recipe.line for place in places):
            methods = ", ".join(dict.fromkeys(line.method for line in recipe.line))
            raise AvgzslError(
                f"--set {key}={value}: no line of {recipe.name} has such a setting; `avgzsl show` says which {methods} have"
            )


def _takes(line: Line, encoder: str, key: str, value: Any) -> bool:
    """Whether a setting is one of a line's method, of its loss or of its encoder (a flag is left to `config` to refuse)."""
    kind: type[Method] = plugins.load("methods", line.method)
    head, _, rest = key.partition(".")
    if head == "encoder":
        fields = [name for one in encoder.split(JOIN) for name in plugins.load("encoders", one).Settings.model_fields]
        return rest.rpartition(".")[2] in fields
    losses = [name for name in kind.Settings.model_fields if name.endswith("_loss")]
    if head == "loss" and not rest:
        return f"{plugins.load('losses', value).family}_loss" in losses
    if rest and (head in losses or (head == "loss" and len(losses) == 1)):
        field = losses[0] if head == "loss" else head
        chosen = line.settings.get(field) or getattr(kind.Settings(), field).name
        return rest in plugins.load("losses", chosen).Settings.model_fields
    return key in config.FLAGS or head in kind.Settings.model_fields


def _encoder(line: Line, place: Place, asked: Asked) -> str:
    if line.encoder == REPLACED and asked.encoder:
        return asked.encoder
    return place.stand_in or line.encoder


def _work(line: Line, place: Place, asked: Asked, seeds: int, out: Path) -> Work:
    encoder = _encoder(line, place, asked)
    stand_in = line.stand_in if encoder == place.stand_in else {}
    given = {key: value for key, value in asked.settings.items() if _takes(line, encoder, key, value)}
    text = line.text if line.text == NAMES else asked.text or line.text
    runs = config.resolve(
        line.method,
        place.name,
        encoder,
        place.features,
        place.split,
        choose(text),
        seeds=seeds,
        settings={**line.settings, **stand_in, **given},
        search=line.search,
    )
    try:
        return Work(line, place, runs, tuple(identity.plan(runs, out)))
    except AvgzslError as error:
        return Work(line, place, runs, reason=str(error))


def stand_ins(works: Sequence[Work]) -> Iterator[tuple[Work, str]]:
    """A work with each encoder that stands in for others on a data set, and these: `clip and word2vec`."""
    replaced: dict[tuple[str, str], list[Work]] = {}
    for work in works:
        if work.runs[0].encoder != work.line.encoder:
            replaced.setdefault((work.place.name, work.runs[0].encoder), []).append(work)
    for same in replaced.values():
        yield same[0], _listed(list(dict.fromkeys(work.line.encoder for work in same)))


def _listed(names: Sequence[str]) -> str:
    """`bert, clap and clip`."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
