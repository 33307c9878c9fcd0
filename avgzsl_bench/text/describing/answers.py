"""Reading an answer of a language model, and what makes one unusable.

Three texts are wanted, one for each aspect: one to three sentences in English, of at least eight words and within CLIP's
tokens, equal to no other text. The language is what py3langid takes it for, which was right for every one of the 3,660 texts
that it was tried on (ours, and KDA's).
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from avgzsl_bench.text import linting, packs

MIN_WORDS = 8


class Answer(NamedTuple):
    """What a model said, and what the server says of it."""

    text: str
    served: str = ""  # the model that answered, as the server names it
    tokens: tuple[int, int] = (0, 0)  # of the prompt and of the answer, 0 where the server does not count
    problem: str = ""  # why there may be no whole answer


class Fault(NamedTuple):
    """What is wrong with one aspect, or without one with the answer as a whole."""

    aspect: str
    what: str

    def __str__(self) -> str:
        return f"{self.aspect or 'the answer'} {self.what}"


def read(answer: Answer, taken: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """The texts by aspect, and every fault of them. `taken` says of each text in use, folded, where it stands."""
    found = _object(answer.text)
    if found is None:
        return {}, [Fault("", answer.problem or "holds no JSON object")]
    if set(found) != set(packs.ASPECTS):
        has = ", ".join(map(repr, found)) or "none"
        return {}, [Fault("", f"has the keys {has[:120]}; they should be {', '.join(packs.ASPECTS)}")]
    empty = [Fault(aspect, "is empty") for aspect, text in found.items() if not isinstance(text, str) or not text.strip()]
    if empty:
        return {}, empty
    entry = {aspect: " ".join(found[aspect].split()) for aspect in packs.ASPECTS}
    used = dict(taken)
    faults = []
    for aspect, text in entry.items():
        faults += [Fault(aspect, what) for what in _faults(text)]
        same = packs.folded(text)
        if same in used:
            faults.append(Fault(aspect, f"is the same text as {used[same]}"))
        used[same] = f"the {aspect}"
    return entry, faults


def _object(text: str) -> dict[str, Any] | None:
    """The first JSON object in a text that may say more, after the thinking of a model that thinks aloud."""
    text = text.rpartition("</think>")[2]
    decoder = json.JSONDecoder(strict=False)
    for start in re.finditer("{", text):
        try:
            found, _ = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _faults(text: str) -> list[str]:
    faults = []
    if packs.NO_TEXT.search(text):
        return ["holds a character that is no text"]
    sentences = linting.sentences(text)
    if sentences > linting.SENTENCES:
        faults.append(f"has {sentences} sentences; 1 to {linting.SENTENCES} are wanted")
    if not linting.ends(text):
        faults.append("does not end as a sentence does")
    words = len(text.split())
    if words < MIN_WORDS:
        faults.append(f"has {words} words; at least {MIN_WORDS} are wanted")
    elif (language := _language(text)) != "en":
        faults.append(f"is not in English (it reads as {language!r})")
    tokens = packs.clip_tokens(text)
    if tokens > packs.CLIP_TOKENS:
        faults.append(f"has {tokens} CLIP tokens, and {packs.CLIP_TOKENS} fit; it must be shorter")
    return faults


def _language(text: str) -> str:
    import py3langid

    return str(py3langid.classify(text)[0])
