"""Leaderboards: records and published numbers into tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avgzsl_bench import plugins, published, records
from avgzsl_bench.board import table


def leaderboard(
    records: str | Path | Iterable[str | Path | dict[str, Any]] = "runs",
    format: str = "terminal",  # noqa: A002  (the word of the command line)
    dataset: str | None = None,
) -> str:
    """The leaderboard of records (dicts, files, or folders searched for them) beside the published numbers, as text.

    `format` names a renderer; `dataset` keeps one data set. Raises AvgzslError for a path without records that does not exist, an unreadable
    record, an unknown renderer, and a data set about which nothing is known.
    """
    renderer = plugins.load("renderers", format)()
    return str(renderer.render(table.build(gather(records), published.rows(), dataset)))


def gather(sources: str | Path | Iterable[str | Path | dict[str, Any]]) -> list[dict[str, Any]]:
    """Records from any mixture of dicts, files and folders. Raises AvgzslError for a path that is not there."""
    if isinstance(sources, str | Path):
        sources = [sources]
    return [one for source in sources for one in ([source] if isinstance(source, dict) else records.read_all(Path(source)))]
