"""The contracts: what a method, text encoder, loss, dataset, protocol, launcher and renderer promise each other.

The conformance kit (`avgzsl_bench.testing`) is this file made executable.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

# apart, so that importing and listing data needs no torch
from avgzsl_bench.clips import SUBSETS as SUBSETS
from avgzsl_bench.clips import ClassInfo as ClassInfo
from avgzsl_bench.clips import Clips as Clips
from avgzsl_bench.clips import Dataset as Dataset
from avgzsl_bench.clips import FeatureSet as FeatureSet
from avgzsl_bench.clips import Role as Role
from avgzsl_bench.clips import Splits as Splits
from avgzsl_bench.clips import Tokens as Tokens
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.tensors import ABSENT as ABSENT
from avgzsl_bench.tensors import Batch as Batch
from avgzsl_bench.tensors import ClassText as ClassText
from avgzsl_bench.tensors import Packing as Packing
from avgzsl_bench.tensors import Shapes as Shapes
from avgzsl_bench.tensors import Training as Training

if TYPE_CHECKING:
    from avgzsl_bench.board.table import Table
    from avgzsl_bench.lockstep import Steps

Rules = Literal["corrected", "reference"]


class Settings(BaseModel):
    """Settings of a method: unknown keys are refused, every field is described."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    combine: Literal["mean", "set"] = Field("mean", description="Give the method the mean of a class's texts, or all of them.")
    text_normalise: Literal["unit", "raw"] = Field(
        "unit", description="Scale text vectors to length one (each text, and again after the mean), or leave them as encoded."
    )


class TrainingSettings(Settings):
    """Settings of the training loop (Adam, plateau schedule), for methods that take optimiser steps."""

    epochs: int = Field(50, ge=1, le=100_000, description="Epochs of stage 1; stage 2 runs the selected number.")
    batches_per_epoch: int = Field(500, ge=1, description="Optimiser steps an epoch.")
    batch_size: int = Field(256, ge=2, description="Clips a step, drawn class-uniformly with replacement.")
    learning_rate: float = Field(1e-3, gt=0, description="Initial learning rate of Adam.")
    adam_beta1: float = Field(0.9, ge=0, lt=1, description="Adam's first moment decay.")
    adam_beta2: float = Field(0.999, ge=0, lt=1, description="Adam's second moment decay.")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty added to the gradient by Adam.")
    plateau_patience: int = Field(
        3, ge=0, description="Scorings of validation without a better HM before the learning rate drops."
    )
    plateau_factor: float = Field(0.1, gt=0, le=1, description="Factor of a learning-rate drop; 1 keeps the rate.")
    score_every: int = Field(1, ge=1, description="Epochs from one scoring of validation to the next; the last is scored too.")


class TemporalSettings(TrainingSettings):
    """Settings of methods that need temporal features: how long a sequence may be.

    Longer clips are cropped, at random in training and around the middle when scored; the video decides where, and the
    audio follows in time. A batch is padded to the given length, or without one to its longest clip.
    """

    training_audio_tokens: int = Field(0, ge=0, description="Audio tokens of a training clip; 0 takes whole clips.")
    training_video_tokens: int = Field(0, ge=0, description="Video tokens of a training clip; 0 takes whole clips.")
    scoring_audio_tokens: int = Field(0, ge=0, description="Audio tokens of a scored clip; 0 takes whole clips.")
    scoring_video_tokens: int = Field(0, ge=0, description="Video tokens of a scored clip; 0 takes whole clips.")

    @model_validator(mode="after")
    def _both_lengths(self) -> Self:
        for when in ("training", "scoring"):
            if (getattr(self, f"{when}_audio_tokens") > 0) != (getattr(self, f"{when}_video_tokens") > 0):
                raise ValueError(f"give both {when}_audio_tokens and {when}_video_tokens, or neither")
        return self


class Method(nn.Module):
    """A method: it sees tensors and its own settings only, never paths, splits, test labels or devices.

    Most methods write three functions: `losses`, `prepare` and `embed`. `losses` must be pure in the sense that
    `vmap(grad(losses))` over two stacked copies runs: no `.item()`, no boolean masks, no loops over clips, randomness
    only through `layers.Dropout` and `layers.Noise`.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"audio", "video"})  # of audio, video, negatives, temporal
    version: ClassVar[int] = 1  # raised when a change alters results
    paper: ClassVar[str] = ""  # citation key of `published/`
    known_from: ClassVar[Literal["paper", "abstract"]] = "paper"  # abstract: re-implemented from it, so never ranked or compared
    floor: ClassVar[bool] = False  # a floor: nothing is learned, shown to be beaten
    seeded: ClassVar[bool] = True  # False: every seed gives the same result, so one run is enough
    reference_biases: ClassVar[NDArray[np.float64]] = np.linspace(0.0, 3.0, 16)  # seen biases that the reference code tries
    turns: tuple[str, ...] = ("all",)  # one optimiser step each; () trains nothing
    own_batches: bool = False  # every turn draws a batch of its own, as adversarial methods do
    fits_stacked: ClassVar[bool] = False  # whether `prepare` is as pure as `losses`, so that it can be mapped over copies
    packed: bool = False  # short sequences share rows in training batches, as `Packing` says
    classifier_epochs: int = 0  # n: `prepare` fits a classifier for n epochs and gives all n, of which stage 1 selects one

    Settings: type[Settings] = TrainingSettings

    def __init__(self, settings: Any, shapes: Shapes) -> None:
        super().__init__()
        self.settings = settings
        self.shapes = shapes

    def forward(self, batch: Batch, classes: ClassText, turn: str = "all") -> dict[str, Tensor]:
        """`losses`, so that torch.func can call the module."""
        return self.losses(batch, classes, turn)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """The parameters that each turn's optimiser moves; a turn left out only runs forward."""
        return {turn: list(self.parameters()) for turn in self.turns}

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        """Named scalar terms whose sum is minimised; `{}` is a forward pass only (it moves batch-norm statistics)."""
        raise NotImplementedError

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        """One row a candidate class, (classes, ...): its embedding, or a fitted classifier row. Called once an evaluation.

        A method with `classifier_epochs` gives the rows after each of them, (epochs, classes, ...). Gradients are off.
        """
        raise NotImplementedError

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The learned space: clips (clips, k) beside classes (classes, k). `rows` come from `prepare`."""
        raise NotImplementedError

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        """Compatibility (clips, classes), higher is better; by default the negative Euclidean distance of `embed`."""
        clips, classes = self.embed(batch, rows)
        return -torch.cdist(clips, classes)

    def scores_by_modality(self, batch: Batch, rows: Tensor) -> dict[str, Tensor]:
        """Scores (clips, classes) of the audio and of the video alone, where `scores` combines two distances.

        Under reference rules the seen bias is then the mean of the best biases of these and of `scores`.
        """
        return {}

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of the authors' released checkpoint.

        Raises AvgzslError that lists names that are unknown or missing, and where no released weights are known.
        """
        raise AvgzslError("no released weights are known; give a model.safetensors of `avgzsl run`")


class Loss:
    """A swappable loss. `family` fixes the signature of `__call__`, which returns a scalar:

    alignment       (clips (clips, k), texts (classes, texts, k), rows (clips,))
    classification  (logits (clips, classes), rows (clips,), texts (classes, texts, k), detached)
    triplet         (anchor (clips, k), positive (clips, k), negative (clips, k))
    """

    family: ClassVar[Literal["alignment", "classification", "triplet"]]
    version: ClassVar[int] = 1

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def __call__(self, *tensors: Any, **named: Any) -> Tensor:
        """The scalar, from the tensors of the family's signature."""
        raise NotImplementedError


class TextEncoder:
    """Turns texts into vectors. Building one reads no weights: `encode` does, so that a cache hit costs nothing.

    Settings called path, dataset, device, batch_size or timeout say where weights lie and how encoding is carried out: they
    enter no identity and no key of the cache. What decides vectors is another setting, or part of `revision`.
    """

    licence: ClassVar[str] = ""
    extra: ClassVar[str] = ""  # the optional dependency group it needs, named in the error when missing
    libraries: ClassVar[tuple[str, ...]] = ()  # distributions, beside torch, of which another version may give other vectors
    version: ClassVar[int] = 1  # raised when a change of this code alters its vectors; part of every record's identity
    names_only: ClassVar[bool] = False  # whether it is a table of class names, which reads no other text
    remote: ClassVar[bool] = False  # whether `encode` asks a server: then only `avgzsl text encode` calls it

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @property
    def revision(self) -> str:
        """What identifies the weights (a commit, or a hash of the files); part of every record's identity.

        Raises AvgzslError when the weights are not on this machine, naming the command that gets them.
        """
        raise NotImplementedError

    @property
    def space(self) -> str:
        """Name of the vector space, compared with a feature set's to tell whether clips and text share one."""
        return ""

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """(texts, dim) float32; opens no socket unless the encoder is `remote`."""
        raise NotImplementedError

    def fetch(self) -> str:
        """Get the weights from where they live (the only place that may open a socket); returns what was fetched."""
        raise AvgzslError(f"{type(self).__name__} has nothing to fetch")


@dataclass(frozen=True)
class Run:
    """What a protocol is told about one run, and the folder it may write to."""

    name: str  # of the method, as it is registered
    method: type[Method]
    settings: Settings
    candidates: tuple[Settings, ...]  # of `--search`, tried in stage 1; empty without one
    grid: tuple[dict[str, Any], ...]  # the searched settings of each candidate
    seed: int
    rules: Rules
    selection: str  # "validation", or "test" where a reference did so
    device: torch.device
    folder: Path
    report: Callable[[int, dict[str, Any]], None]  # (epoch, logs) after every epoch


class Evaluation(NamedTuple):
    """What a protocol returns; the runner turns it into a record."""

    selection: dict[str, Any]
    metrics: dict[str, Any]  # fractions
    per_class: dict[str, list[Any]]
    decisions: dict[str, NDArray[Any]]  # one array a column, one entry a test clip in the order of the store
    weights: dict[str, Tensor]
    cost: dict[str, Any]


class Protocol:
    """An evaluation protocol: it alone holds the test set."""

    version: ClassVar[int] = 1

    def run(self, run: Run) -> "Steps[Evaluation]":
        """Train, select, unseal, score, as a generator of the work to be computed (`lockstep`): other runs go on beside it.

        The protocol itself is built once for all runs of a job, from what they share: data, class text, rules, device.
        """
        raise NotImplementedError


class JobState(NamedTuple):
    """How one run of a job ended: its record's path, or the error that stopped it."""

    run_id: str
    record: Path | None
    error: str = ""
    busy: bool = False  # another process is making it: not an end, and a launcher waits for that process


class LauncherSettings(BaseModel):
    """Settings of a launcher: unknown keys are refused, every field is described."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    jobs: int = Field(1, ge=1, le=10_000, description="Workers at the same time; given as --jobs N.")


class Launcher:
    """Starts jobs (tuples of RunConfigs that differ in the seed only) and reports each run as it ends.

    Its settings say how, and never what: they decide no number and enter no record.
    """

    Settings: type[LauncherSettings] = LauncherSettings

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def check(self, options: Any) -> None:
        """Raise AvgzslError, before anything is planned, where runs with these options cannot be made from here."""

    def launch(self, jobs: Sequence[Any], options: Any) -> Iterator[JobState]:
        """Run every job, yielding once for each run, as it ends; a failed run does not stop the others.

        A run that another process is making is waited for. Raises AvgzslError when nothing can be started.
        """
        raise NotImplementedError


class Renderer:
    """Turns a leaderboard table into text."""

    suffix: ClassVar[str]

    def render(self, table: "Table") -> str:
        """The whole table as text."""
        raise NotImplementedError
