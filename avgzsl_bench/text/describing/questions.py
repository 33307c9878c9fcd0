"""What a language model is asked about each class: the wording is data, in questions.toml."""

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import cache
from math import fsum
from pathlib import Path
from string import Template
from typing import Any

from avgzsl_bench.contracts import ClassInfo

NEIGHBOURS = 6
STEM = 4  # letters by which two words count as one: dog and dogs differ less than three, play and playing agree


def label() -> str:
    """Name and version of the wording."""
    return f"{_data()['name']}@{_data()['version']}"


def of_classes(dataset: str, classes: Sequence[ClassInfo], about: str = "") -> dict[str, str]:
    """The question of every class, by class name; `about` says what the data set is about, where we have no words for it."""
    known = _data()["about"]
    about = " ".join((about or known.get(dataset, known["other"])).split())
    stems = {info.text_name: _stems(info.text_name) for info in classes}
    asked = {}
    for info in classes:
        near = _near(info.text_name, stems)
        also = _filled("neighbours", {"names": "; ".join(near)}) if near else ""
        asked[info.name] = _filled("question", {"about": about, "text": info.text_name, "neighbours": also})
    return asked


def correction(faults: Sequence[str]) -> str:
    """What is said of an answer that cannot be used."""
    return _filled("correction", {"faults": "\n".join(f"- {fault}" for fault in faults)})


def _near(name: str, stems: Mapping[str, set[str]]) -> list[str]:
    """The names most like this one, best first: those that share words, rare ones counting more, then by their letters."""
    common = Counter(stem for own in stems.values() for stem in own)

    def alike(other: str) -> float:
        return fsum(1 / common[stem] for stem in stems[name] & stems[other])  # exact: the order of a set is no process's twice

    chosen = [other for other, own in stems.items() if other != name and own & stems[name]]
    return sorted(chosen, key=lambda other: (-alike(other), -SequenceMatcher(None, name, other).ratio(), other))[:NEIGHBOURS]


def _stems(name: str) -> set[str]:
    return {word[:STEM] for word in re.findall(r"\w{3,}", name.lower())}


def _filled(key: str, values: Mapping[str, str]) -> str:
    return Template(_data()[key].strip("\n")).substitute(values)


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "questions.toml").read_text(encoding="utf-8"))
