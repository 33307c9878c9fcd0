"""The log of generation: every answer of a language model as one JSON line, written before anything is made of it."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; what a killed process left half-written is passed over."""
    if not path.is_file():
        return []
    lines, torn = [], 0
    for raw in path.read_bytes().splitlines():
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if isinstance(found, dict):
            lines.append(found)
        else:
            torn += bool(raw.strip())
    if torn:
        log.warning("%d broken lines of %s are passed over", torn, path)
    return lines


@contextmanager
def appending(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield the function that adds a line, which is with the system when it returns."""
    with path.open("ab") as file:
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            file.write(b"\n")  # ends what a killed process began

        def append(line: dict[str, Any]) -> None:
            file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            file.flush()

        yield append
