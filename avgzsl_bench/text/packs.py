"""Description packs: for every class of one data set, texts of what it is, what it looks like and what it sounds like.

A pack is a TOML file with `name`, `version`, `dataset`, `origin`, `licence` and one table a class, or a CSV file with the
columns `name` (of the class, as the data set spells it), `definition`, `appearance` and `sound`. Every text fits CLIP's 77
tokens, so that all encoders can be compared on it. Ours lie in `text/descriptions/`, a user's in the data folder.
"""

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from avgzsl_bench import plugins
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import check_name
from avgzsl_bench.files import data_root, write_whole

ASPECTS = ("definition", "appearance", "sound")
OURS = "descriptions"
KDA = "kda"
BUILT_IN = Path(__file__).parent / OURS
CLIP_TOKENS = 77  # positions of CLIP's text tower, the start and the end of the text among them
HEAD = {"name": str, "version": int, "dataset": str, "origin": str, "licence": str}
NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")  # what a wrong encoding leaves behind


class Pack(NamedTuple):
    """Texts of the classes of one data set, in the order of its file."""

    name: str
    version: int
    dataset: str
    origin: str  # who or what wrote it, when, from what
    licence: str
    entries: dict[str, dict[str, str]]  # class name -> aspect -> text


def names(dataset: str) -> list[str]:
    """The packs of a data set that `--text` takes by name: ours and the user's."""
    ours = [OURS] if _built_in(dataset).is_file() else []
    return sorted({*ours, *(path.stem for path in _folder(dataset).glob("*.toml"))})


def find(source: str, dataset: str, classes: Sequence[ClassInfo]) -> Pack:
    """The pack of a name, or in a .toml or .csv file, checked against the classes it must describe.

    Raises AvgzslError for an unknown name, and naming the entry for a file with a fault.
    """
    path = locate(source, dataset)
    if path == _built_in(dataset):
        return _ours(dataset)
    stat = path.stat() if path.is_file() else None
    pack = _checked_file(path, dataset, tuple(info.name for info in classes), stat.st_mtime_ns if stat else 0)
    if path.parent == _folder(dataset) and pack.name != path.stem:
        raise AvgzslError(f"pack {path} is named {pack.name!r} inside; give the file that name, which records will have")
    return pack


def locate(source: str, dataset: str) -> Path:
    """The file of a pack that is given by name or as a file. Raises AvgzslError for an unknown name."""
    if source == OURS and _built_in(dataset).is_file():
        return _built_in(dataset)
    path = Path(source).expanduser()
    if path.suffix in (".toml", ".csv"):
        return path
    if path.is_file():
        raise AvgzslError(f"{source} is no pack by its name; call the file {path.stem}.toml, or .csv if it is a table")
    if source == KDA and source not in names(dataset):
        raise AvgzslError(f"KDA's texts of {dataset} are not on this machine; `avgzsl text import kda PATH` imports its release")
    if source not in names(dataset):
        known = ["names", *names(dataset)]
        raise AvgzslError(plugins.unknown(f"text of {dataset}", source, known, f"avgzsl text list {dataset}"))
    return _folder(dataset) / f"{source}.toml"


def store(pack: Pack, classes: Sequence[ClassInfo]) -> Path:
    """Keep a pack, checked, where `--text NAME` finds it."""
    path = place(pack.dataset, pack.name)
    check(pack, path, [info.name for info in classes])
    write_whole(path, dump(pack))
    return path


def place(dataset: str, name: str) -> Path:
    """Where a pack of the user's is kept. Raises AvgzslError for a name that is no plain one, or that is ours."""
    if name == "names" or (name == OURS and _built_in(dataset).is_file()):
        raise AvgzslError(f"pack name {name!r} is taken; give it another name")
    return _folder(dataset) / f"{check_name(name, 'pack')}.toml"


def dump(pack: Pack) -> str:
    """A pack as TOML. JSON's strings are TOML's but for characters that no text holds, and that an origin loses."""
    head = {key: getattr(pack, key) for key in HEAD}
    head["origin"] = NO_TEXT.sub("?", pack.origin)  # it may repeat what a server calls its model
    lines = [f"{key} = {_quoted(value)}" for key, value in head.items()]
    for name, entry in pack.entries.items():
        lines += ["", f"[classes.{_quoted(name)}]", *(f"{aspect} = {_quoted(text)}" for aspect, text in entry.items())]
    return "\n".join(lines) + "\n"


def _quoted(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False)


def read(path: Path, dataset: str) -> Pack:
    """A pack as its file has it, unchecked but for its form."""
    if path.suffix == ".csv":
        rows = table(path, ("name", *ASPECTS), "name them so (KDA's own files: `avgzsl text import kda`)")
        entries = {row["name"]: {aspect: row[aspect] for aspect in ASPECTS} for row in rows}
        return _named(Pack(path.stem, 1, dataset, f"the file {path.name}", "", entries), path)
    try:
        found: dict[str, Any] = tomllib.loads(decoded(path))
    except tomllib.TOMLDecodeError as error:
        raise AvgzslError(f"pack {path} is no TOML ({error}); mend that line") from error
    for key, kind in {**HEAD, "classes": dict}.items():
        if type(found.get(key)) is not kind:
            has = f"{key} = {found[key]!r}" if key in found else f"no {key!r}"
            wanted = (
                "a text for each of name, dataset, origin, licence, a whole number as version, a table [classes.NAME] a class"
            )
            raise AvgzslError(f"pack {path} has {has[:60]}; it needs {wanted}")
    if found["dataset"] != dataset:
        raise AvgzslError(f"pack {path} describes {found['dataset']!r}, not {dataset!r}; give one of this data set")
    return _named(Pack(**{key: found[key] for key in HEAD}, entries=found["classes"]), path)


def _named(pack: Pack, path: Path) -> Pack:
    if check_name(pack.name, f"name of pack {path}") == "names":
        raise AvgzslError(f"pack {path} is named 'names', which stands for the class names; give it another name")
    return pack


def check(pack: Pack, path: Path, classes: Sequence[str]) -> None:
    """Refuse a pack that does not describe each class once, in every aspect, within CLIP's tokens; names the entry."""
    for fault in faults(pack, classes):
        raise AvgzslError(f"pack {path}: {fault}")


def faults(pack: Pack, classes: Sequence[str]) -> Iterator[str]:
    """What keeps a pack from being used, one line a fault, each naming its entry."""
    for name in pack.entries:
        if name not in classes:
            yield plugins.unknown(f"class of {pack.dataset}", name, classes, f"avgzsl show {pack.dataset}")
    missing = [name for name in classes if name not in pack.entries]
    if missing:
        more = f" ({len(missing)} are missing)" if len(missing) > 1 else ""
        yield f"no entry of class {missing[0]!r}{more}; a pack describes every class of its data set"
    seen: dict[str, str] = {}
    for name, entry in pack.entries.items():
        if not isinstance(entry, Mapping) or set(entry) != set(ASPECTS):
            has = ", ".join(sorted(entry)) if isinstance(entry, Mapping) else repr(entry)
            yield f"class {name!r} has {has or 'nothing'}; it should have {', '.join(ASPECTS)}"
            continue
        for aspect, text in entry.items():
            where = f"{aspect} of {name!r}"
            if fault := _fault(text):
                yield f"{where} {fault}"
            elif (same := seen.setdefault(folded(text), where)) != where:
                yield f"{where} is the same text as {same}; write what tells the two apart"


def folded(text: str) -> str:
    """A text without what makes it no other one: its capitals and its white space."""
    return " ".join(text.casefold().split())


def _fault(text: Any) -> str:
    if not isinstance(text, str):
        return f"is {text!r:.40}, which is no text; write one to three sentences in quotes"
    if not text.strip():
        return "is empty; write one to three sentences"
    if NO_TEXT.search(text):
        return f"holds a character that is no text ({text[:40]!r}...); save the file as UTF-8, one line a text"
    tokens = clip_tokens(text)
    return f"has {tokens} CLIP tokens, and {CLIP_TOKENS} fit; shorten it ({text[:40]!r}...)" if tokens > CLIP_TOKENS else ""


def clip_tokens(text: str) -> int:
    """Positions that a text takes in CLIP's text tower, its start and end included."""
    return len(_clip_tokenizer().encode(text)) + 2


def _built_in(dataset: str) -> Path:
    return BUILT_IN / f"{dataset}.toml"


def _folder(dataset: str) -> Path:
    return data_root() / "packs" / dataset


@cache
def _ours(dataset: str) -> Pack:
    return read(_built_in(dataset), dataset)  # a test lints it, which spares every run the check


@cache
def _checked_file(path: Path, dataset: str, classes: tuple[str, ...], _mtime: int) -> Pack:
    pack = read(path, dataset)
    check(pack, path, classes)
    # one order of the aspects, whatever the file's: the texts of a class are hashed in it
    return pack._replace(entries={name: {aspect: own[aspect] for aspect in ASPECTS} for name, own in pack.entries.items()})


@cache
def _clip_tokenizer() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def decoded(path: Path) -> str:
    """The text of a file. Raises AvgzslError for one that cannot be read or is not UTF-8, naming the place."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise AvgzslError(f"{path} cannot be read: {error.strerror}; check the path") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        table = re.findall(r"^\[.+\]", before, re.MULTILINE)[-1:]  # of TOML, the class; a line of CSV begins with it
        place = " ".join([*table, before.rpartition("\n")[2][:40]])
        line = before.count("\n") + 1
        raise AvgzslError(f"{path} is not UTF-8 in line {line} ({place}...); save it as UTF-8") from error


def table(path: Path, columns: Sequence[str], hint: str) -> list[dict[str, str]]:
    """The rows of a CSV file that has these columns, each row of as many cells and another `name`.

    Raises AvgzslError naming the row, with the hint where the columns are others.
    """
    reader = csv.reader(io.StringIO(decoded(path), newline=""), strict=True)
    try:
        header, *cells = [row for row in reader if row] or [[]]
    except csv.Error as error:
        raise AvgzslError(f"{path} is no table (row {reader.line_num}: {error}); mend it") from error
    if sorted(header) != sorted(columns):
        raise AvgzslError(
            f"{path} has {'the columns ' + ', '.join(header)[:80] if header else 'no columns'}, not {', '.join(columns)}; {hint}"
        )
    rows: dict[str, dict[str, str]] = {}
    for row in cells:
        if len(row) != len(header):
            raise AvgzslError(f"{path}: row {row[0][:40]!r} has {len(row)} cells, and there are {len(header)} columns; mend it")
        found = dict(zip(header, row, strict=True))
        if found["name"] in rows:
            raise AvgzslError(f"{path}: class {found['name']!r} stands twice; keep one row")
        rows[found["name"]] = found
    return list(rows.values())
