"""The description files of KDA's release (Chen et al. 2023), read as packs named `kda`.

A file has one row a class: its text name, what it is, what it looks like and what it sounds like. Its rows stay in their order,
since the reference code takes the row of a class by the class's id: right on UCF, whose file is in the order of the ids, and
wrong where the other two files, sorted by text name, differ from it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from avgzsl_bench import plugins
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import packs
from avgzsl_bench.text.packs import ASPECTS, KDA, Pack

COLUMNS = dict(zip(("description_1", "description_2", "description_3"), ASPECTS, strict=True))
HEADER = ("name", *COLUMNS)
SORTED = {"ucf": False, "activitynet": True, "vggsound": True}  # whether the released file is sorted by text name
RECOGNISED = 0.5  # share of a file's names that its data set must have
Known = Mapping[str, Sequence[ClassInfo]]


def read(path: Path, known: Known) -> list[Pack]:
    """The packs in one of KDA's files, or in all that a folder holds, whatever else lies there.

    `known` are the classes of the data sets that a file may describe. Raises AvgzslError with one line for the first fault.
    """
    found: dict[str, tuple[Path, Pack]] = {}
    for file in _files(path):
        pack = _pack(file, known)
        if pack.dataset in found:
            raise AvgzslError(f"{found[pack.dataset][0]} and {file} both describe {pack.dataset}; give the path of one")
        found[pack.dataset] = file, pack
    return [pack for _, pack in found.values()]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.rglob("*.csv")) if file.is_file() and _is_one(file)]
    if not found:
        raise AvgzslError(f"{path} holds no description file of KDA (a CSV of {', '.join(HEADER)}); give its folder, or the file")
    return found


def _is_one(file: Path) -> bool:
    with file.open("rb") as lines:
        return lines.readline().decode("utf-8", "replace").strip("\ufeff\r\n").split(",") == list(HEADER)


def _pack(file: Path, known: Known) -> Pack:
    rows = packs.table(file, HEADER, "give a description file of KDA")
    dataset = _dataset(file, [row["name"] for row in rows], known)
    names = {info.text_name: info.name for info in known[dataset]}
    strangers = [row["name"] for row in rows if row["name"] not in names]
    if strangers:
        what = plugins.unknown(f"class of {dataset}", strangers[0], list(names), f"avgzsl show {dataset}")
        raise AvgzslError(f"{file}: {what}")
    # the white space around a text is not of it: five cells of the release end in a line break
    entries = {names[row["name"]]: {aspect: row[key].strip() for key, aspect in COLUMNS.items()} for row in rows}
    lost = sum("__" in text for entry in entries.values() for text in entry.values())
    origin = f"written with a language model by the authors of KDA (Chen et al. 2023), released as {file.name}, kept as it is"
    origin += f"; in {lost} texts __ stands where a dash was lost" if lost else ""
    pack = Pack(KDA, 1, dataset, origin, "Apache-2.0", entries)
    packs.check(pack, file, [info.name for info in known[dataset]])
    return pack


def _dataset(file: Path, names: Sequence[str], known: Known) -> str:
    shares = {name: _share(names, classes) for name, classes in known.items()}
    best = max(shares, key=shares.__getitem__, default="")
    if not best or shares[best] < RECOGNISED:
        first = f"its first row is of {names[0]!r}" if names else "it has no rows"
        raise AvgzslError(f"{file} describes the classes of no data set ({first}); known are {', '.join(sorted(known))}")
    return best


def _share(names: Sequence[str], classes: Sequence[ClassInfo]) -> float:
    texts = {info.text_name for info in classes}
    return sum(name in texts for name in names) / max(1, len(names))


def row_order(dataset: str, classes: Sequence[ClassInfo]) -> list[int] | None:
    """Whose text class 0, 1, ... gets from the released file: (classes,) class ids; None where there is no such file."""
    if dataset not in SORTED:
        return None
    ids = range(len(classes))
    return sorted(ids, key=lambda i: classes[i].text_name) if SORTED[dataset] else list(ids)
