"""Leaderboards: records and published numbers into tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from avgzsl_bench import plugins, published
from avgzsl_bench import records as store
from avgzsl_bench.board import ablation, table
from avgzsl_bench.board.grids import KINDS, Ablation, Kind
from avgzsl_bench.errors import AvgzslError


def leaderboard(
    records: str | Path | Iterable[str | Path | dict[str, Any]] = "runs",
    format: str = "terminal",
    dataset: str | None = None,
) -> str:
    """The leaderboard of records (dicts, files, or folders searched for them) beside the published numbers, as text.

    `format` names a renderer; `dataset` keeps one data set. Raises AvgzslError for a path that is not there, a file that is
    no record, an unknown renderer, and a data set about which nothing is known.
    """
    renderer = plugins.load("renderers", format)()
    found, remarks = gather(records)
    return str(renderer.render(table.build(found, published.rows(), dataset, remarks)))


def text_ablation(
    records: str | Path | Iterable[str | Path | dict[str, Any]],
    method: str = "kda",
    datasets: Sequence[str] = (),
    kinds: Sequence[Kind] = KINDS,
) -> Ablation:
    """The ablation of class text from records (as `leaderboard` takes them), for `draw_ablation`.

    Raises AvgzslError where neither records nor papers have anything about it.
    """
    found, remarks = gather(records)
    return ablation.build(found, method, datasets, remarks, kinds)


def draw_ablation(found: Ablation, markdown: bool = False) -> str:
    """An ablation as text: as wide as the terminal, or as a page of GitHub Markdown."""
    from avgzsl_bench.board.drawings import draw

    return draw(found, "markdown" if markdown else "terminal")


def rows(records: Iterable[dict[str, Any]]) -> str:
    """Only the measured rows of some records, for the terminal: what `avgzsl run` ends with."""
    from avgzsl_bench.board.renderers.terminal import draw

    return draw(table.build(list(records), ()), caption=False)


def gather(sources: str | Path | Iterable[str | Path | dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """(records, remarks) from any mixture of dicts, files and folders; a damaged record in a folder becomes a remark.

    Raises AvgzslError for a path that is not there and for a damaged record that is named itself.
    """
    found: list[dict[str, Any]] = []
    remarks = []
    for source in [sources] if isinstance(sources, str | Path) else sources:
        if isinstance(source, dict):
            found.append(source)
            continue
        for path, record in store.read_each(Path(source)):
            if not isinstance(record, AvgzslError):
                found.append(record)
            elif path == Path(source):
                raise record
            else:
                remarks.append(f"Left out: {record}.")
    return found, remarks


def format_for(path: Path) -> str:
    """The renderer whose suffix a path has, ours before a plugin's. Raises AvgzslError where there is none."""
    members = plugins.registry().members["renderers"]
    for name in sorted(members, key=lambda name: (members[name][0].distribution != plugins.BUILT_IN, name)):
        if plugins.load("renderers", name).suffix == path.suffix:
            return name
    raise AvgzslError(
        f"no renderer writes {path.suffix or 'files without a suffix'}: {path}; name one with --format ({', '.join(members)})"
    )
