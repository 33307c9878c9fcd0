"""Class text: which texts, which encoder, how several texts of a class are combined."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import plugins
from avgzsl_bench.contracts import ClassInfo, Rules, TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.settings import validated
from avgzsl_bench.text import cache, sources


class TextIdentity(NamedTuple):
    """What decides the class text of a run, known without encoding anything."""

    source: str  # name@version
    text_sha256: str  # of the texts as served, in class order
    encoder_revision: str
    encoder_settings: dict[str, Any]  # those that differ from the encoder's defaults
    space: str


class TextTable(NamedTuple):
    """Vectors of every class of a data set, as encoded (`combine` scales and averages), and their identity."""

    vectors: NDArray[np.float32]  # (classes, texts, dim) in class-id order, as served under the rules
    source: str
    text_sha256: str
    encoder_revision: str
    encoder_settings: dict[str, Any]
    space: str


def class_text(
    dataset: str,
    classes: Sequence[ClassInfo],
    source: str,
    encoder: str,
    encoder_settings: Mapping[str, Any],
    rules: Rules,
    device: str = "cpu",
) -> TextTable:
    """The text table of a data set; opens no socket.

    Raises AvgzslError for an unknown source, encoder or setting, for weights that are not on this machine (naming the
    command that gets them), and for a text source that the reference code never used under reference rules.
    """
    pack = sources.served(source, classes, encoder, rules)
    built = build(encoder, encoder_settings, device, dataset)
    # one entry for the sorted distinct texts serves every order of the classes, so both rules share their vectors
    texts = sorted({text for row in pack.texts for text in row})
    vectors = cache.encoded(encoder, built, texts)
    index = {text: i for i, text in enumerate(texts)}
    rows = np.array([[index[text] for text in row] for row in pack.texts])  # (classes, texts)
    return TextTable(vectors[rows], *_identity(pack, built))


def describe(
    dataset: str,
    classes: Sequence[ClassInfo],
    source: str,
    encoder: str,
    encoder_settings: Mapping[str, Any],
    rules: Rules,
) -> TextIdentity:
    """The identity of `class_text` with the same arguments, without encoding (errors as there)."""
    return _identity(sources.served(source, classes, encoder, rules), build(encoder, encoder_settings, dataset=dataset))


def build(encoder: str, settings: Mapping[str, Any], device: str = "cpu", dataset: str = "") -> TextEncoder:
    """An encoder by name; one whose settings have a field `dataset` is told the data set."""
    kind: type[TextEncoder] = plugins.load("encoders", encoder)
    values = dict(settings)
    if dataset and "dataset" in kind.Settings.model_fields and not values.get("dataset"):
        values["dataset"] = dataset
    return kind(validated(kind.Settings, values, f"encoder {encoder}", f"avgzsl show {encoder}"), device)


def _identity(pack: sources.Pack, encoder: TextEncoder) -> TextIdentity:
    defaults = type(encoder.settings)().model_dump(mode="json")
    values = encoder.settings.model_dump(mode="json", exclude=set(cache.PLACES))
    changed = {name: value for name, value in values.items() if value != defaults[name]}
    return TextIdentity(pack.source, pack.sha256, encoder.revision, changed, encoder.space)


def readiness() -> list[tuple[str, str, str]]:
    """(name, licence, what is missing or "") of every encoder with its default settings."""
    found = []
    for name in plugins.names("encoders"):
        licence = problem = ""
        try:
            encoder = build(name, {})
            licence = encoder.licence
            problem = "" if encoder.revision else "it names no revision"
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
