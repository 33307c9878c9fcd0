"""Reproductions: the tables and figures of a paper run from recipes that are data, and drawn in its own shape.

They are the runs that `avgzsl run` would make: resolved, identified, launched with resume and recorded as those are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avgzsl_bench import board, plugins, records
from avgzsl_bench.board import drawings, measured, table
from avgzsl_bench.config import RunConfig
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import _paper, embedding
from avgzsl_bench.reproduce import page, works
from avgzsl_bench.reproduce.recipes import Recipe, find
from avgzsl_bench.reproduce.works import Asked, Work


def jobs(
    name: str,
    datasets: Sequence[str] = (),
    seeds: int | None = None,
    encoder: str | None = None,
    text: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[tuple[str, str, tuple[RunConfig, ...] | str]]:
    """(label of a line, data set, its runs or why they cannot be made here) of a reproduction, without running anything.

    Without `datasets`, those of the table that are imported. Raises AvgzslError for an unknown name, choices that do not fit,
    and where none of its data sets is imported.
    """
    found = works.plan(find(name), Asked(tuple(datasets), seeds, encoder, text, dict(settings or {})))
    return [(work.line.label, work.place.name, work.reason or work.runs) for work in found]


def format_of(recipe: Recipe, format: str | None, file: Path | None) -> str:
    """The format that is asked for by name, else by the ending of a file, else that of the terminal; of a picture its file's.

    Raises AvgzslError for one in which this cannot be drawn.
    """
    if recipe.drawn == "embedding":
        if format is not None:
            raise AvgzslError(f"{recipe.name} is a picture: leave --format out, and give --page FILE.png, .pdf or .svg")
        return file.suffix if file else ".png"
    if recipe.drawn == "leaderboard":
        chosen = format or (board.format_for(file) if file else "terminal")
        plugins.find("renderers", chosen)
        return chosen
    suffixes = {suffix: name for name, suffix in drawings.SUFFIXES.items()}
    if format is None and file is not None and file.suffix not in suffixes:
        raise AvgzslError(f"{file}: no format has this ending; name one with --format ({', '.join(drawings.SUFFIXES)})")
    chosen = format or (suffixes[file.suffix] if file else "terminal")
    drawings.check(chosen)
    return chosen


def check_files(recipe: Recipe, found: Sequence[Work], file: Path | None) -> None:
    """Refuse what cannot be drawn before hours of runs. Raises AvgzslError for pictures of several data sets in one file."""
    if recipe.drawn == "embedding":
        _paper.check([file] if file else [], "page")
        names = list(dict.fromkeys(work.place.name for work in found))
        if file and len(names) > 1:
            raise AvgzslError(
                f"{file}: one file holds the picture of one data set, not of {', '.join(names)}; name one, or no file"
            )


def draw(recipe: Recipe, found: Sequence[Work], asked: Asked, format: str, failures: Mapping[str, str]) -> str:
    """What was run of a table or a leaderboard, as text; `failures` are the errors of run ids."""
    if recipe.drawn == "table":
        return drawings.draw(page.page(recipe, found, asked, failures), format)
    complete = [records.read(plan.record) for work in found for plan in work.plans if plan.done]
    told = [f"Not run: {work.line.label} on {work.place.name}: {work.reason}." for work in found if work.reason]
    ranked = table.build(complete, (), remarks=(*page.heading(recipe, found, asked), *told))
    return str(plugins.load("renderers", format)().render(ranked))


def picture(recipe: Recipe, found: Sequence[Work], file: Path | None, device: str) -> list[Path]:
    """Draw what was run of a figure, one file a data set, and return the files; one that is not named goes beside the user."""
    drawn = []
    for work in found:
        complete = [records.read(plan.record) for plan in work.plans if plan.done]
        if complete:
            outs = [file or Path(f"{recipe.name}-{work.place.name}.png")]
            drawn += embedding.draw(measured.groups(complete), outs, width="page", device=device)
    return drawn
