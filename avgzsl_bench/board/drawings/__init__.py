"""Pages of grids as text, one file a format: the shape in which papers print, where the leaderboard's is one line a row."""

from importlib import import_module
from typing import Any

from avgzsl_bench import plugins
from avgzsl_bench.board.grids import Page
from avgzsl_bench.errors import AvgzslError

SUFFIXES = {"terminal": ".txt", "markdown": ".md", "latex": ".tex", "csv": ".csv", "json": ".json"}
"""Formats, and the ending of a file of each."""


def draw(page: Page[Any], format: str = "terminal") -> str:
    """A page in one of the formats. Errors as `check`."""
    check(format)
    text: str = import_module(f"{__name__}.{format}").draw(page)
    return text


def check(format: str) -> None:
    """Raises AvgzslError for an unknown format."""
    if format not in SUFFIXES:
        raise AvgzslError(f"unknown format {format!r}; {plugins.near(format, list(SUFFIXES))}choose {', '.join(SUFFIXES)}")
