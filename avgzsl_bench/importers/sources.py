"""Reading the authors' files from a folder or from a zip, whose members are read in place and never extracted."""

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from avgzsl_bench import files
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import Source


class Folder:
    """Files of a folder by their path below the data set's own folder."""

    def __init__(self, path: Path, folder: str, bases: Sequence[str], patterns: Sequence[str]) -> None:
        candidates = [path, *path.glob("*/"), *path.glob("*/*/")]
        roots = {str(p.relative_to(path).as_posix()): p for p in candidates if any((p / base).is_dir() for base in bases)}
        self.root = roots[_choose(roots, folder, bases, path)]
        self.base = next(base for base in bases if (self.root / base).is_dir())
        filled = [pattern.format(base=self.base) for pattern in patterns]
        found = (p for pattern in filled for p in self.root.glob(pattern) if p.is_file() and not p.name.startswith("."))
        self.names = sorted(p.relative_to(self.root).as_posix() for p in found)
        self._sha256: dict[str, str] = {}

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        try:
            raw = (self.root / name).read_bytes()
        except OSError as error:
            raise AvgzslError(
                f"could not read {self.root / name}: {error.strerror or error}; mend it and import again"
            ) from error
        self._sha256[name] = hashlib.sha256(raw).hexdigest()
        return raw

    def stamps(self) -> list[tuple[str, int, int]]:
        """(path, size, mtime) of every file, without reading any."""
        return [(name, stat.st_size, stat.st_mtime_ns) for name in self.names if (stat := (self.root / name).stat())]

    def sources(self) -> list[Source]:
        """Every file with its hash; those not read yet are read now."""
        for name in self.names:
            if name not in self._sha256:
                self.read(name)
        return [Source(path=n, size=size, mtime_ns=time, sha256=self._sha256[n]) for n, size, time in self.stamps()]


class Zip:
    """Members of a zip by their path below the data set's own folder."""

    def __init__(self, path: Path, folder: str, bases: Sequence[str], patterns: Sequence[str]) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise AvgzslError(f"{path} is no whole zip ({error}); get it again") from error
        members = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        _refuse_escapes(path, members)
        marker = re.compile(rf"^(?:(.*)/)?({'|'.join(map(re.escape, bases))})/")
        found = [match for name in members if (match := marker.match(name)) and not name.startswith("__MACOSX/")]
        root = _choose({match[1] or "." for match in found}, folder, bases, path)
        self.base = min((match[2] for match in found if (match[1] or ".") == root), key=list(bases).index)
        self._prefix = "" if root == "." else f"{root}/"
        filled = [re.escape(pattern.format(base=self.base)) for pattern in patterns]
        wanted = re.compile("|".join(pattern.replace(r"\*", "[^/]*") for pattern in filled))
        below = (name.removeprefix(self._prefix) for name in members if name.startswith(self._prefix))
        self.names = sorted(n for n in below if wanted.fullmatch(n) and not PurePosixPath(n).name.startswith("."))

    def read(self, name: str) -> bytes:
        """The bytes of one member, checked against the zip's own checksum."""
        try:
            return self._zip.read(self._prefix + name)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise AvgzslError(f"{self.path}: member {name} is damaged ({error}); get the zip again") from error

    def stamps(self) -> list[tuple[str, int, int]]:
        """(name, size, mtime) of the zip itself."""
        stat = self.path.stat()
        return [(self.path.name, stat.st_size, stat.st_mtime_ns)]

    def sources(self) -> list[Source]:
        """The zip itself with its hash."""
        return [Source(path=n, size=size, mtime_ns=time, sha256=files.sha256(self.path)) for n, size, time in self.stamps()]


def open_source(path: Path, folder: str, bases: Sequence[str], patterns: Sequence[str]) -> Folder | Zip:
    """A folder or zip that is, or contains, the data set's folder, in which the first of `bases` that is there counts.

    Its files are those that match `patterns`, in which `*` stays within a level and {base} is that folder.

    Raises AvgzslError when no base is anywhere in it, for a zip that is damaged or whose members point outside it.
    """
    if path.is_dir():
        return Folder(path, folder, bases, patterns)
    if not path.exists():
        raise AvgzslError(f"there is no file or folder {path}; give the folder or zip of the authors' features")
    if path.suffix.lower() != ".zip":
        raise AvgzslError(f"{path} is neither a folder nor a .zip; give the folder or zip of the authors' features")
    return Zip(path, folder, bases, patterns)


def _choose(roots: Iterable[str], folder: str, bases: Sequence[str], path: Path) -> str:
    found, needed = sorted(roots), " or ".join(bases)
    named = [root for root in found if PurePosixPath(root).name.lower() == folder.lower()]
    chosen = ["."] if "." in found else named or found
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        raise AvgzslError(f"{path} holds {needed} in {', '.join(chosen)}; give the one of {folder}")
    hint = f"give the folder {folder}, one that contains it, or other --features (--temporal for sequences)"
    raise AvgzslError(f"{path} holds no {needed}; {hint}")


def _refuse_escapes(path: Path, members: Iterable[str]) -> None:
    for name in members:
        if name.startswith("/") or "\\" in name or ":" in name.split("/")[0] or ".." in name.split("/"):
            raise AvgzslError(f"{path} is refused: its member {name!r} points outside the zip; get it from its authors again")
