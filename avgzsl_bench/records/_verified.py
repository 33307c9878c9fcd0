"""Remember which records of a store were found whole, so that only new and changed ones are checked again.

A record counts as unchanged while size, times and place on disk of its two files are those of when it was checked: whatever
writes to a file sets its change time, which nobody can set back.
"""

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path

from pydantic_core import from_json

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import cache_root, write_whole

NEW = 2 * 10**9  # nanoseconds in which a file could change once more and show the same times

Stamp = list[int]


class Verified:
    """The records at or under a path that were found whole, by this very code."""

    def __init__(self, root: Path) -> None:
        self._root, self._code = root, _code()
        self._file = cache_root() / "records" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]}.json"
        self._before = self._load()
        self._now: dict[str, Stamp] = {}
        self._asked: tuple[str, Stamp] = ("", [])  # the record that was asked for last, as it was before it was read

    def _load(self) -> dict[str, Stamp]:
        try:
            content = from_json(self._file.read_bytes())
            return dict(content["whole"]) if content["code"] == self._code else {}
        except (OSError, ValueError, TypeError, KeyError):  # there is none, or it is damaged: everything is checked
            return {}

    def knows(self, path: Path) -> bool:
        """Whether a record that is about to be read was found whole and has not changed since."""
        name, stamp = self._asked = str(path.relative_to(self._root)), _stamp(path)
        return bool(stamp) and self._before.get(name) == stamp

    def note(self) -> None:
        """Remember that the record asked for last is whole, unless it is so new that a change might not show."""
        name, stamp = self._asked
        if stamp and max(stamp[1:3] + stamp[5:7]) < time.time_ns() - NEW:
            self._now[name] = stamp

    def save(self) -> None:
        """Keep what is remembered for the next time, where the disk allows it."""
        if self._now != self._before:
            with suppress(AvgzslError):
                write_whole(self._file, json.dumps({"code": self._code, "whole": self._now}))


def _stamp(path: Path) -> Stamp:
    """What changes when a record or its decisions do; empty where one of the two is missing."""
    try:
        return [part for file in (path, path.with_name("decisions.safetensors")) for part in _of(file)]
    except OSError:
        return []


def _of(file: Path) -> Stamp:
    about = file.stat()
    return [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]


def _code() -> str:
    """A hash of the code that checks records: what another version found whole is checked again."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))).hexdigest()
