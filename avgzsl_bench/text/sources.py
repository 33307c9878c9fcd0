"""Text sources: which texts describe each class, and in which order the rules serve them."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from avgzsl_bench import plugins
from avgzsl_bench.contracts import ClassInfo, Rules
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.text import packs, prompting

NAMES = "names"
JOIN = "+"  # between encoders, and between aspects in a label
NAME = "name"  # the aspect that is the class name itself
ASPECTS = (NAME, *packs.ASPECTS)
# text source -> the encoders that the reference code has for it, the usual one first (clip+clap is ClipClap's)
REFERENCE: Mapping[str, tuple[str, ...]] = MappingProxyType({NAMES: ("word2vec", "clip+clap"), "kda": ("clip",)})
CLIPCLAP_UCF = MappingProxyType({"HandstandPushups": "Hand Stand Pushups"})  # split by hand, as the files of its clips have it


class Choice(NamedTuple):
    """What the user chose as class text."""

    source: str = NAMES  # `names`, a pack by name, or a file
    aspects: tuple[str, ...] = ()  # empty: all that the source has
    prompts: str = ""  # a prompt set for class names, or none

    def __str__(self) -> str:
        aspects = f":{JOIN.join(self.aspects)}" if self.aspects else ""
        return f"{self.source}{aspects}{f'/{self.prompts}' if self.prompts else ''}"


class Served(NamedTuple):
    """Texts as served, in class-id order: equally many for every class."""

    label: str  # names@1, descriptions@1:name+sound, names@1/clipclap@1
    texts: tuple[tuple[str, ...], ...]  # (classes, texts)
    aspects: tuple[str, ...] = (NAME,)  # of the texts of a class
    named: int | None = None  # the text of each class that prompts are put around
    templates: Mapping[str, tuple[str, ...]] = MappingProxyType({})  # encoder -> prompt templates

    @property
    def sha256(self) -> str:
        """Hash of the texts and templates, sensitive to their order and to where one ends and the next begins."""
        prompts = [(name, *own) for name, own in sorted(self.templates.items())]
        parts = (f"{len(text.encode())}:{text}" for texts in (*self.texts, *prompts) for text in (str(len(texts)), *texts))
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def wordings(self, encoder: str, column: int, text: str) -> list[str]:
        """The strings that an encoder is given for a text; those of several are averaged."""
        templates = self.templates.get(encoder, ()) if column == self.named else ()
        return [template.replace("{}", text) for template in templates] or [text]

    def strings(self, encoder: str) -> list[str]:
        """Every distinct string that an encoder is given, sorted: one list serves every order of the classes."""
        given = ((i, text) for texts in self.texts for i, text in enumerate(texts))
        return sorted({string for i, text in given for string in self.wordings(encoder, i, text)})


def served(choice: Choice, dataset: str, classes: Sequence[ClassInfo], encoder: str, rules: Rules) -> Served:
    """The texts that class 0, 1, ... gets under the rules, which need not be its own.

    Corrected rules join by name. Reference rules keep the row order of the reference loaders, which index by class id a list
    of another order: the class names sorted, KDA's description file as it lies.

    Raises AvgzslError for an unknown source, aspect or prompt set, a source that does not cover the classes, texts other than
    class names for a table of those, and under reference rules any (source, encoder) that the reference code does not have.
    """
    if rules == "reference" and encoder not in REFERENCE.get(choice.source, ()):
        pairs = " or ".join(f"--text {source} --encoder {name}" for source, names in REFERENCE.items() for name in names)
        raise AvgzslError(
            f"text {choice.source!r} with encoder {encoder!r} has no row order in the reference code; "
            f"use --rules corrected, or {pairs}"
        )
    if choice.source == NAMES:
        label, rows = f"{NAMES}@1", [{NAME: name} for name in _names(dataset, classes, encoder, rules)]
    else:
        pack = packs.find(choice.source, dataset, classes)
        label = f"{pack.name}@{pack.version}"
        rows = [{NAME: info.text_name, **pack.entries[info.name]} for info in classes]
    if rules == "reference":
        rows = [rows[i] for i in row_order(choice.source, dataset, classes, encoder)]
    aspects = _aspects(choice, tuple(rows[0]))
    label += f":{JOIN.join(aspects)}" if aspects != tuple(rows[0]) else ""
    tables = [name for name in encoder.split(JOIN) if plugins.load("encoders", name).names_only]
    if tables and (aspects != (NAME,) or choice.prompts):
        raise AvgzslError(
            f"{tables[0]} has vectors of class names alone, not of {choice}; use --text names, no --prompts, or another encoder"
        )
    texts = tuple(tuple(row[aspect] for aspect in aspects) for row in rows)
    return _prompted(Served(label, texts, aspects), choice, dataset, encoder)


def row_order(source: str, dataset: str, classes: Sequence[ClassInfo], encoder: str) -> list[int]:
    """Whose text class 0, 1, ... gets from the reference loaders: (classes,) class ids. Errors as `served`."""
    if source == NAMES:
        names = _names(dataset, classes, encoder, "reference")
        return sorted(range(len(classes)), key=names.__getitem__)
    ids = {info.name: i for i, info in enumerate(classes)}
    return [ids[name] for name in packs.find(source, dataset, classes).entries]


def reference_encoder(source: str, encoder: str | None) -> str:
    """The given encoder, or the usual one, of a text source in the reference code. Raises AvgzslError where it has none."""
    known = REFERENCE.get(source, ())
    if not known or encoder not in (None, *known):
        asked = f"{source} by {encoder}" if encoder else source
        pairs = ", ".join(f"{kind} by {' or '.join(names)}" for kind, names in REFERENCE.items())
        raise AvgzslError(
            f"the authors' code trained on the class text {pairs}, not on {asked}; give --text and --encoder of one"
        )
    return encoder or known[0]


def choose(source: str, aspects: str | Sequence[str] = (), prompts: str = "") -> Choice:
    """A choice as the user gives it; aspects may be one text, separated by commas."""
    given = aspects.split(",") if isinstance(aspects, str) and aspects else aspects
    return Choice(source, tuple(aspect.strip() for aspect in given), prompts)


def choice_of(label: str) -> Choice:
    """The choice that a record's label of class text names; a file stands there by the name that it gives itself."""
    body, _, prompts = label.partition("/")
    pack, _, aspects = body.partition(":")
    return Choice(pack.partition("@")[0], tuple(aspects.split(JOIN)) if aspects else (), prompts.partition("@")[0])


def named_as(choice: Choice, label: Choice) -> Choice:
    """A choice with its files named as in a label, which has their own names; hashes tell whether they are the same."""
    source = label.source if choice.source.endswith((".toml", ".csv")) else choice.source
    return choice._replace(source=source, prompts=label.prompts if choice.prompts.endswith(".toml") else choice.prompts)


def _aspects(choice: Choice, known: tuple[str, ...]) -> tuple[str, ...]:
    """The chosen aspects in the order of the source, so that one choice has one name and one hash."""
    unknown = [aspect for aspect in choice.aspects if aspect not in known]
    if unknown:
        raise AvgzslError(f"text {choice.source!r} has no aspect {unknown[0]!r}; choose among {', '.join(known)}")
    return tuple(aspect for aspect in known if aspect in choice.aspects or not choice.aspects)


def _prompted(served: Served, choice: Choice, dataset: str, encoder: str) -> Served:
    if not choice.prompts:
        return served
    if NAME not in served.aspects:
        texts = ", ".join(served.aspects)
        raise AvgzslError(f"--prompts {choice.prompts} goes around class names, not around {texts}; leave it out")
    prompts = prompting.find(choice.prompts, dataset, encoder.split(JOIN))
    label, named = f"{served.label}/{prompts.label}", served.aspects.index(NAME)
    return served._replace(label=label, named=named, templates=prompts.templates)


def _names(dataset: str, classes: Sequence[ClassInfo], encoder: str, rules: Rules) -> list[str]:
    """(classes,) the name of each class as text. The reference loaders of ClipClap alone spell those of UCF by the class."""
    if rules == "reference" and dataset == "ucf" and encoder == "clip+clap":
        return [CLIPCLAP_UCF.get(info.name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", info.name) for info in classes]
    return [info.text_name for info in classes]
