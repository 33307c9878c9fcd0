"""Class text: which texts, which encoder, how several texts of a class are combined."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import plugins
from avgzsl_bench.contracts import ClassInfo, Rules, TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.settings import validated
from avgzsl_bench.text import cache, sources
from avgzsl_bench.text.sources import JOIN, Choice


class TextIdentity(NamedTuple):
    """What decides the class text of a run, known without encoding anything."""

    source: str  # what the record calls it, such as names@1
    text_sha256: str  # of the texts as served, in class order
    encoder_revision: str
    encoder_settings: dict[str, Any]  # those that differ from the encoder's defaults


class Part(NamedTuple):
    """The columns of a text table that one encoder made."""

    space: str
    start: int
    stop: int


class TextTable(NamedTuple):
    """Vectors of every class of a data set, as encoded (`combine` scales and averages), and their identity."""

    vectors: NDArray[np.float32]  # (classes, texts, dim) in class-id order, as served under the rules
    source: str
    text_sha256: str
    encoder_revision: str
    encoder_settings: dict[str, Any]
    parts: tuple[Part, ...]  # one for each encoder joined


def class_text(
    dataset: str,
    classes: Sequence[ClassInfo],
    choice: Choice,
    encoder: str,
    encoder_settings: Mapping[str, Any],
    rules: Rules,
) -> TextTable:
    """The text table of a data set; opens no socket (`ahead.encode` asks an encoder that lives elsewhere).

    Raises AvgzslError for an unknown source, encoder or setting, for weights that are not on this machine (naming the
    command that gets them), and for a text source that the reference code never used under reference rules.
    """
    served = sources.served(choice, dataset, classes, encoder, rules)
    parts = build(encoder, encoder_settings, dataset)
    tables = [_vectors(name, part, served) for name, part in parts.items()]
    if len(tables) > 1:
        tables = [unit(table) for table in tables]  # each alone, as ClipClap joins them: neither outweighs the other
    stops = np.cumsum([table.shape[-1] for table in tables]).tolist()
    columns = tuple(Part(part.space, *at) for part, at in zip(parts.values(), pairwise([0, *stops]), strict=True))
    return TextTable(np.concatenate(tables, axis=-1), *_identity(served, parts), columns)


def describe(
    dataset: str,
    classes: Sequence[ClassInfo],
    choice: Choice,
    encoder: str,
    encoder_settings: Mapping[str, Any],
    rules: Rules,
) -> TextIdentity:
    """The identity of `class_text` with the same arguments, without encoding (errors as there)."""
    return _identity(sources.served(choice, dataset, classes, encoder, rules), build(encoder, encoder_settings, dataset))


def build(encoder: str, settings: Mapping[str, Any], dataset: str = "") -> dict[str, TextEncoder]:
    """The encoders that a name stands for: one, or those joined by +, whose settings are then keyed `NAME.setting`.

    One whose settings have a field `dataset` is told the data set.
    """
    parts = {}
    for name, own in _shared_out(encoder, settings).items():
        kind: type[TextEncoder] = plugins.load("encoders", name)
        if dataset and "dataset" in kind.Settings.model_fields and not own.get("dataset"):
            own["dataset"] = dataset
        parts[name] = kind(validated(kind.Settings, own, f"encoder {name}", f"avgzsl show {name}"))
    return parts


def changed_settings(encoder: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an encoder, or of those joined by +, that differ from their defaults. Errors as `build`."""
    return _changed(build(encoder, settings), set())


def _shared_out(encoder: str, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    names = encoder.split(JOIN)
    if len(names) == 1:
        return {encoder: dict(settings)}
    if len(set(names)) < len(names):
        raise AvgzslError(f"encoder {encoder!r} joins one encoder with itself; join different ones, such as clip+clap")
    shared: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in settings.items():
        name, _, own = key.partition(".")
        if name not in shared or not own:
            raise AvgzslError(f"encoder.{key} is of no part of {encoder}; write encoder.{names[0]}.{own or key}")
        shared[name][own] = value
    return shared


def _vectors(name: str, encoder: TextEncoder, served: sources.Served) -> NDArray[np.float32]:
    """(classes, texts, dim); the prompts of a name are scaled to length one, averaged and scaled again, even if it is one."""
    wordings = [[served.wordings(name, i, text) for i, text in enumerate(row)] for row in served.texts]
    strings = served.strings(name)
    vectors = cache.encoded(name, encoder, strings)
    index = {string: i for i, string in enumerate(strings)}

    def of(strings: list[str], prompted: bool) -> NDArray[np.float32]:
        found = vectors[[index[string] for string in strings]]  # (wordings, dim)
        return unit(unit(found).mean(0)) if prompted else np.asarray(found[0])

    return np.array([[of(strings, i == served.named) for i, strings in enumerate(row)] for row in wordings])


def _identity(served: sources.Served, parts: Mapping[str, TextEncoder]) -> TextIdentity:
    revision = JOIN.join(cache.revision(name, part) for name, part in parts.items())
    return TextIdentity(served.label, served.sha256, revision, _changed(parts, cache.CIRCUMSTANCES))


def _changed(parts: Mapping[str, TextEncoder], but: set[str] | frozenset[str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, part in parts.items():
        default = type(part.settings)().model_dump(mode="json")
        prefix = f"{name}." if len(parts) > 1 else ""
        values = part.settings.model_dump(mode="json", exclude=set(but))
        changed |= {prefix + key: value for key, value in values.items() if value != default[key]}
    return changed


def readiness() -> list[tuple[str, str, str]]:
    """(name, licence, what is missing or "") of every encoder with its default settings."""
    found = []
    for name in plugins.names("encoders"):
        licence = problem = ""
        try:
            encoder = build(name, {})[name]
            licence = encoder.licence
            problem = cache.lacking(encoder) or ("" if encoder.revision else "it names no revision")
        except AvgzslError as error:
            problem = str(error)
        found.append((name, licence, problem))
    return found


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors scaled to length one along the last axis. Raises AvgzslError for a zero vector, which has no direction."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not length.all():
        raise AvgzslError("a class text has a zero vector, which has no direction; use text_normalise=raw or another encoder")
    return np.asarray(vectors / length)


def combine(vectors: NDArray[np.float32], how: Literal["mean", "set"], normalise: Literal["unit", "raw"]) -> NDArray[np.float32]:
    """Several texts of a class into what the method is given, (classes, texts or 1, dim).

    `unit` scales each text to length one before averaging and the mean again after it; `raw` averages what was encoded.
    """
    vectors = unit(vectors) if normalise == "unit" else vectors
    if how == "set":
        return vectors
    mean: NDArray[np.float32] = vectors.mean(axis=1, keepdims=True)
    return unit(mean) if normalise == "unit" else mean


def shares_space(features: str, text: str) -> bool:
    """Whether clips in the space `features` can be compared with text in the space `text`.

    Spaces are named from the general to the special with colons; `clip` holds whatever starts with `clip:`.
    """
    return bool(features) and f"{text}:".startswith(f"{features}:")
