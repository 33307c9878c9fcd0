"""The generated files of a leaderboard's folder: what they should hold, whether they do, and writing them.

A folder holds `records/`, and made from nothing but these and the papers' numbers: README.md, index.html, text.md, and for each
key tables/KEY.tex and tables/KEY.csv. Plugins and data sets of the user's own are left out of it, so that the bytes are the same
on every machine.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from avgzsl_bench import board, plugins, published
from avgzsl_bench.board import table
from avgzsl_bench.board.slugs import slugs
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole

PAGES = {"README.md": "markdown", "index.html": "html"}  # of the whole table, and the renderer of each
TABLES = {".tex": "latex", ".csv": "csv"}  # of one key
FOLDER = "tables"
ABLATION = "text.md"


@dataclass(frozen=True)
class Difference:
    """One generated file that is not as it should be: missing, stale, or surplus (no key makes it any more)."""

    path: Path
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}"


def contents(folder: Path) -> dict[Path, str]:
    """Every generated file of a folder, in order, and its text.

    Raises AvgzslError where the folder has no records, and for a record that is damaged.
    """
    with _alone():
        found, damaged = board.gather([folder / "records"])
        if damaged:
            raise AvgzslError(damaged[0].removeprefix("Left out: ").removesuffix("."))
        whole = table.build(found, published.rows())
        texts = {folder / name: _drawn(renderer, whole) for name, renderer in PAGES.items()}
        texts[folder / ABLATION] = board.draw_ablation(board.text_ablation(found), markdown=True)
        for section, name in zip(whole.sections, slugs([section.place for section in whole.sections]), strict=True):
            part = replace(whole, sections=(section,), remarks=())
            texts |= {folder / FOLDER / f"{name}{suffix}": _drawn(renderer, part) for suffix, renderer in TABLES.items()}
    return texts


def check(folder: Path) -> list[Difference]:
    """What differs from `contents`; nothing is written. Raises AvgzslError as `contents` does."""
    texts = contents(folder)
    return [*_differences(texts), *(Difference(path, "surplus") for path in _surplus(folder, texts))]


def update(folder: Path) -> list[Difference]:
    """Write what is missing or stale, remove what is surplus, and return what that was; nothing else is touched.

    Raises AvgzslError as `contents` does, and where the disk refuses: each file is then the old one or the new one.
    """
    texts = contents(folder)
    changed = _differences(texts)
    for difference in changed:
        write_whole(difference.path, texts[difference.path])
    surplus = _surplus(folder, texts)
    for path in surplus:
        path.unlink()
    return [*changed, *(Difference(path, "surplus") for path in surplus)]


def _differences(texts: dict[Path, str]) -> list[Difference]:
    return [
        Difference(path, "stale" if path.exists() else "missing")
        for path, text in texts.items()
        if not path.is_file() or path.read_bytes() != text.encode()
    ]


def _surplus(folder: Path, texts: dict[Path, str]) -> list[Path]:
    """Tables that no key makes any more. A file that does not begin as our tables do is somebody's own, and is left alone."""
    begin = {path.suffix: _beginning(text.partition("\n")[0]) for path, text in texts.items() if path.suffix in TABLES}
    others = sorted(path for path in (folder / FOLDER).glob("*") if path.suffix in begin and path.is_file() and path not in texts)
    return [path for path in others if _beginning(_first_line(path)) == begin[path.suffix]]


def _beginning(line: str) -> tuple[str, ...]:
    """The first line of a table, but for columns that another version may have more or less of."""
    return tuple(line.split(",")[:3])


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().rstrip("\n")


def _drawn(renderer: str, part: table.Table) -> str:
    return str(plugins.load("renderers", renderer)().render(part))


@contextmanager
def _alone() -> Iterator[None]:
    """As on a machine where nothing but this package is installed, nor any data."""
    ours = {"AVGZSL_PLUGINS": "", "AVGZSL_DATA": os.devnull}
    before = {key: os.environ.get(key) for key in ours}
    try:
        os.environ.update(ours)
        plugins.registry.cache_clear()
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
        plugins.registry.cache_clear()
