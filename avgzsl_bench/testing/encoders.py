"""Questions to a text encoder, asked with class names of UCF; skipped where its weights are not on this machine."""

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import datasets, plugins, text
from avgzsl_bench.contracts import TextEncoder
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.testing.kit import Skip
from avgzsl_bench.testing.settings import refuse_unknown

DATASET = "ucf"


class Subject:
    """An encoder with default settings, some texts, and their vectors (computed when first asked for)."""

    def __init__(self, name: str) -> None:
        self.kind: type[TextEncoder] = plugins.load("encoders", name)
        self.encoder = text.build(name, {}, dataset=DATASET)[name]
        self.texts = [info.text_name for info in datasets.get(DATASET).classes("main")[:7]]

    @cached_property
    def revision(self) -> str:
        """The revision; an encoder without weights is not asked further."""
        try:
            return self.encoder.revision
        except AvgzslError as error:
            raise Skip(str(error)) from error

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Vectors of the texts, (texts, dim)."""
        return self.encode(self.texts)

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """What the encoder makes of texts."""
        assert self.revision, "revision is empty"
        if self.kind.remote:
            raise Skip("it asks a server, which a check never does")
        return self.encoder.encode(texts)


def subjects(name: str) -> dict[str, Callable[[], Subject]]:
    """The encoder by its name."""
    return {name: partial(Subject, name)}


def refuses_an_unknown_setting(subject: Subject) -> None:
    """`extra="forbid"` survived in Settings."""
    refuse_unknown(subject.kind.Settings)


def says_its_licence(subject: Subject) -> None:
    """Whoever publishes a number must know what the weights allow."""
    assert subject.kind.licence, "licence is empty; say what the weights are licensed under, or that there are none"


def has_a_revision(subject: Subject) -> None:
    """The weights have a name that a record can keep."""
    assert isinstance(subject.revision, str), f"revision is {subject.revision!r}, not a text"
    assert subject.revision.strip(), "revision is empty; name the weights by a commit or a hash"


def gives_one_float32_vector_a_text(subject: Subject) -> None:
    """Vectors are (texts, dim), float32, finite, and not all the same."""
    vectors = subject.vectors
    assert vectors.ndim == 2, f"vectors have shape {vectors.shape}; expected (texts, dim)"
    assert len(vectors) == len(subject.texts), f"{len(subject.texts)} texts gave {len(vectors)} vectors"
    assert vectors.dtype == np.float32, f"vectors are {vectors.dtype}; expected float32"
    assert np.isfinite(vectors).all(), "vectors are not all finite"
    assert np.ptp(vectors, axis=0).max() > 0, "different texts all have the same vector"


def gives_the_same_text_the_same_vector(subject: Subject) -> None:
    """Encoding is a function of the text: twice in one call, and in a second call."""
    twice = subject.encode(subject.texts + subject.texts[:1])
    _assert_near(twice[-1], twice[0], "a text given twice in one call")
    _assert_near(subject.encode(subject.texts), subject.vectors, "a second call")


def encodes_each_text_alone(subject: Subject) -> None:
    """A vector does not depend on which other texts are in the call (padding, statistics of the batch)."""
    _assert_near(subject.encode(subject.texts[:1]), subject.vectors[:1], "a call with one text")


def keeps_the_order_of_the_texts(subject: Subject) -> None:
    """Vector i belongs to text i."""
    _assert_near(subject.encode(subject.texts[::-1])[::-1], subject.vectors, "the reversed order")


def _assert_near(vectors: NDArray[np.float32], expected: NDArray[np.float32], what: str) -> None:
    far = float(np.abs(vectors - expected).max())
    scale = float(np.abs(expected).max())
    assert far <= 1e-4 * scale, f"{what} changes a vector by {far:.2g} (its largest entry is {scale:.2g})"


QUESTIONS: tuple[Callable[[Subject], None], ...] = (
    refuses_an_unknown_setting,
    says_its_licence,
    has_a_revision,
    gives_one_float32_vector_a_text,
    gives_the_same_text_the_same_vector,
    encodes_each_text_alone,
    keeps_the_order_of_the_texts,
)
