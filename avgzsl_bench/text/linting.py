"""The lint of description packs: what keeps a pack from being used, and what makes its texts poor ones.

Rules of form hold for every pack; those of style for packs that describe real classes (a synthetic data set's classes are made
of the same few words, and so are their texts).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import build, cache, packs, unit
from avgzsl_bench.text.packs import ASPECTS, Pack

SENTENCES = 3
SEQUENCE = 6  # words that many entries of an aspect must not have in common
SEQUENCE_SHARE = 0.03
ALIKE = 0.6  # share of their words that two entries of an aspect may have in common
CONTRAST = re.compile(r"\b(unlike|rather than|as opposed to|instead of|in contrast|different from|whereas)\b", re.IGNORECASE)
ENCODER = "minilm"
NEAREST = 5  # class names among which a definition must find its own
FOUND_SHARE = 0.9


class Report(NamedTuple):
    """What the lint found: figures to read, and faults to mend."""

    figures: list[tuple[str, str]]
    faults: list[str]


def lint(pack: Pack, classes: Sequence[ClassInfo], style: bool = True) -> Report:
    """Check a pack as it was read. Of a pack whose form is at fault, nothing else is checked."""
    report = Report([], list(packs.faults(pack, [info.name for info in classes])))
    if report.faults:
        return report
    for aspect in ASPECTS:
        texts = {name: entry[aspect] for name, entry in pack.entries.items()}
        report.figures.append((aspect, _lengths(list(texts.values()))))
        report.faults.extend(_sentence_faults(aspect, texts))
        if style:
            _style(aspect, texts, report)
    if style:
        _topics(pack, classes, report)
    return report


def _lengths(texts: Sequence[str]) -> str:
    words = [len(text.split()) for text in texts]
    tokens = max(map(packs.clip_tokens, texts))
    return f"{min(words)} to {max(words)} words, {np.mean(words):.1f} on average; at most {tokens} CLIP tokens"


def sentences(text: str) -> int:
    """Sentences of a text: they end in . ! or ?, and the next begins with a capital or a digit."""
    return len(re.split(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z0-9])", text.strip()))


def ends(text: str) -> bool:
    """Whether a text ends as a sentence does."""
    return bool(re.search(r"[.!?][\"')]*$", text.strip()))


def _sentence_faults(aspect: str, texts: dict[str, str]) -> Iterator[str]:
    for name, text in texts.items():
        if not ends(text):
            yield f"{aspect} of {name!r} does not end as a sentence does: ...{text.strip()[-30:]!r}"
        if (count := sentences(text)) > SENTENCES:
            yield f"{aspect} of {name!r} has {count} sentences; {SENTENCES} are the most"
        if contrast := CONTRAST.search(text):
            # encoders hardly read negation: naming a neighbour draws the class towards it
            yield f"{aspect} of {name!r} says what it is not ({contrast.group()!r}); say what it is"


def _style(aspect: str, texts: dict[str, str], report: Report) -> None:
    words = {name: re.findall(r"[\w'-]+", text.lower()) for name, text in texts.items()}
    most, share = 0, 0.0
    for sequence, names in _sequences(words):
        most = max(most, len(names))
        if len(names) > SEQUENCE_SHARE * len(words):
            report.faults.append(f"{aspect}: {len(names)} of {len(words)} entries say {sequence!r}, such as {names[0]!r}")
    sets = {name: set(own) for name, own in words.items()}
    for one, other in combinations(sets, 2):
        common = len(sets[one] & sets[other]) / len(sets[one] | sets[other])
        share = max(share, common)
        if common > ALIKE:
            report.faults.append(f"{aspect} of {one!r} and of {other!r} have {common:.0%} of their words in common")
    said = f"the same six words in at most {most} of {len(words)} entries; two share at most {share:.0%} of their words"
    report.figures.append((f"{aspect}, repetition", said))


def _sequences(words: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
    """Sequences of six words and the entries they stand in."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for name, own in words.items():
        for start in range(len(own) - SEQUENCE + 1):
            found[" ".join(own[start : start + SEQUENCE])][name] = None
    return [(sequence, list(names)) for sequence, names in found.items()]


def _topics(pack: Pack, classes: Sequence[ClassInfo], report: Report) -> None:
    """Whether a definition is of its own class: that class's name is among the nearest of all names."""
    try:
        lost = _lost(pack, classes)
    except AvgzslError as error:
        report.figures.append(("topic", f"not checked: {error}"))
        return
    share = 1 - len(lost) / len(classes)
    said = f"{share:.1%} of the definitions have their own class's name among the {NEAREST} nearest by {ENCODER}"
    report.figures.append(("topic", said + (f"; not those of {', '.join(lost)}" if lost else "")))
    if share < FOUND_SHARE:
        report.faults.append(
            f"{share:.0%} of the definitions find their name among the {NEAREST} nearest, and {FOUND_SHARE:.0%} should; "
            f"the first that does not is of {lost[0]!r}"
        )


def _lost(pack: Pack, classes: Sequence[ClassInfo]) -> list[str]:
    """The classes whose definition is nearer to five other names."""
    encoder = build(ENCODER, {})[ENCODER]
    definitions = [pack.entries[info.name]["definition"] for info in classes]
    vectors = unit(cache.encoded(ENCODER, encoder, definitions))
    names = unit(cache.encoded(ENCODER, encoder, [info.text_name for info in classes]))
    scores = vectors @ names.T  # (definitions, names)
    rank = (scores > np.diag(scores)[:, None]).sum(1)
    return [info.name for info, place in zip(classes, rank, strict=True) if place >= NEAREST]
