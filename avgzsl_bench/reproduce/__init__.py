"""Reproductions: the tables and figures of a paper run from recipes that are data, and drawn in its own shape.

They are the runs that `avgzsl run` would make: resolved, identified, launched with resume and recorded as those are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from avgzsl_bench.config import RunConfig
from avgzsl_bench.reproduce import works
from avgzsl_bench.reproduce.recipes import find
from avgzsl_bench.reproduce.works import Asked


def jobs(
    name: str,
    datasets: Sequence[str] = (),
    seeds: int = 5,
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
