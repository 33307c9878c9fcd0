"""Leaderboards: records and published numbers into tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from avgzsl_bench import plugins, published
from avgzsl_bench import records as store
from avgzsl_bench.board import table
from avgzsl_bench.errors import AvgzslError


def leaderboard(
    records: str | Path | Iterable[str | Path | dict[str, Any]] = "runs",
    format: str = "terminal",
    dataset: str | None = None,
) -> str:
    """The leaderboard of records (dicts, files, or folders searched for them) beside the published numbers, as text.

    `format` names a renderer; `dataset` keeps one data set. Raises AvgzslError for a path that is not there, an unreadable
    record, an unknown renderer, and a data set about which nothing is known.
    """
    renderer = plugins.load("renderers", format)()
    return str(renderer.render(table.build(gather(records), published.rows(), dataset)))


def rows(records: Iterable[dict[str, Any]]) -> str:
    """Only the measured rows of some records, for the terminal: what `avgzsl run` ends with."""
    from avgzsl_bench.board.renderers.terminal import draw

    return draw(table.build(list(records), ()), caption=False)


def gather(sources: str | Path | Iterable[str | Path | dict[str, Any]]) -> list[dict[str, Any]]:
    """Records from any mixture of dicts, files and folders. Raises AvgzslError for a path that is not there."""
    if isinstance(sources, str | Path):
        sources = [sources]
    return [one for source in sources for one in ([source] if isinstance(source, dict) else store.read_all(Path(source)))]


def format_for(path: Path) -> str:
    """The renderer whose suffix a path has, ours before a plugin's. Raises AvgzslError where there is none."""
    members = plugins.registry().members["renderers"]
    for name in sorted(members, key=lambda name: (members[name][0].distribution != plugins.BUILT_IN, name)):
        if plugins.load("renderers", name).suffix == path.suffix:
            return name
    raise AvgzslError(
        f"no renderer writes {path.suffix or 'files without a suffix'}: {path}; name one with --format ({', '.join(members)})"
    )
