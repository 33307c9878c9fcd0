"""Where things are kept, and writing them whole or not at all."""

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from avgzsl_bench.errors import AvgzslError

log = logging.getLogger(__name__)


def data_root() -> Path:
    """Folder of the feature stores: $AVGZSL_DATA, else the user's data folder."""
    return _root("AVGZSL_DATA", "user_data_dir")


def cache_root() -> Path:
    """Folder of encoded class text and fetched weights: $AVGZSL_CACHE, else the user's cache folder."""
    return _root("AVGZSL_CACHE", "user_cache_dir")


def _root(variable: str, kind: str) -> Path:
    if os.environ.get(variable):
        return Path(os.environ[variable]).expanduser()
    import platformdirs

    return Path(getattr(platformdirs, kind)("avgzsl-bench"))


def write_whole(path: Path, data: bytes | str) -> None:
    """Write under a temporary name beside the target, sync, then replace: a reader sees the old file or the new one.

    Raises AvgzslError when the disk refuses; the target is then untouched.
    """
    raw = data.encode() if isinstance(data, str) else data
    if path.exists() and not (path.is_file() or path.is_dir()):  # the superuser could replace a device
        raise AvgzslError(f"could not write {path}: it is no regular file; choose another place")
    temporary = _beside(path)
    try:
        make_folder(path.parent)
        with temporary.open("xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise AvgzslError(
            f"could not write {path}: {error.strerror or error}; make room there or choose another place"
        ) from error
    finally:
        with suppress(OSError):  # there is nothing to remove once it has taken its name
            temporary.unlink()


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target` that takes its name, replacing what was there, only if the block ends well."""
    make_folder(target.parent)
    temporary = _beside(target)
    try:
        temporary.mkdir()
        yield temporary
        _exchange(temporary, target)
    except OSError as error:
        raise AvgzslError(
            f"could not write {target}: {error.strerror or error}; make room there or choose another place"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(temporary: Path, target: Path) -> None:
    """Give a folder its name; what had it before is removed, or gets it back if that fails."""
    old = temporary.with_name(f"{temporary.name}.old")
    if target.exists():
        target.replace(old)
    try:
        temporary.replace(target)
    except BaseException:
        if old.exists():
            old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path) -> Path:
    # hidden from readers, and drawn so that no process of any host takes the same; tempfile's would be closed to others
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def make_folder(path: Path) -> None:
    """Create a folder; a file that stands in its place is the user's to move."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise AvgzslError(f"{path} should be a folder but a file is in the way; move it or choose another folder") from error
    except OSError as error:
        raise AvgzslError(f"could not make the folder {path}: {error.strerror or error}; choose another") from error


@contextmanager
def appending(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield the function that adds a line of JSON to a log, which is with the system when it returns.

    Raises AvgzslError when the disk refuses, as the function does; what was written before stays.
    """
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise AvgzslError(f"could not write {path}: {error.strerror or error}; choose another place") from error
    with file:
        if file.tell() and not path.read_bytes().endswith(b"\n"):
            _append(path, file, b"\n")  # ends what a killed process began
        yield lambda line: _append(path, file, json.dumps(line, ensure_ascii=True).encode() + b"\n")


def _append(path: Path, file: FileIO, raw: bytes) -> None:
    try:
        if file.write(raw) < len(raw):
            raise OSError("there is no room left for it")
    except OSError as error:
        raise AvgzslError(f"could not write {path}: {error.strerror or error}; make room there") from error


def read_log(path: Path) -> list[dict[str, Any]]:
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


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
