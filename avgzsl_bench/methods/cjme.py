"""CJME (Parida et al., 2020): sound, picture and class text in one space, and a gate that tells the better modality of a clip.

The gate learns from entropies: the modality that is surer of the classes, by `entropy_gap` at least, should count.
Widths, the batch norm of the gate's raw inputs and the order of the passes are those of the port of Mercea et al. (2022).
Paper form: the gate weighs the two triplet losses of its own clip and, our choice, its two distances in scoring, so that a
clip is scored as it is trained (how the paper itself scores we have not seen).
Reference form: in training every gate meets the losses of every clip, (clips, clips), and so only the mean gate counts; in
scoring the gate is rounded to the one modality or the other.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings
from avgzsl_bench.losses.triplet import by_clip

RELEASED_NAMES = {
    "triplet_net.embedding_net1.fc.": "embed_audio.",
    "triplet_net.embedding_net2.fc.": "embed_video.",
    "triplet_net.embedding_net3.fc.": "embed_text.",
    "attention_model.": "gate.",
}


class Embedded(NamedTuple):
    """Clips in the joint space."""

    audio: Tensor  # (clips, joint width)
    video: Tensor
    gate: Tensor  # (clips, 1), how much the picture counts


class Cjme(Method):
    """Coordinated joint multimodal embeddings with modality attention."""

    needs = frozenset({"audio", "video", "negatives"})
    paper = "parida2020"

    class Settings(TrainingSettings):
        form: Literal["paper", "reference"] = Field("paper", description="One gate a clip, or as the released code does.")
        dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of the hidden layers.")
        joint_width: int = Field(64, ge=1, description="Width of the joint space.")
        encoder_hidden: int = Field(1024, ge=1, description="Hidden width of the embeddings of both modalities.")
        text_hidden: int = Field(300, ge=1, description="Hidden width of the embedding of class text.")
        margin: float = Field(1.0, ge=0, description="By how much a negative must lie farther from the text than the clip.")
        entropy_gap: float = Field(0.1, ge=0, description="Nats by which a modality must be surer for the gate to favour it.")

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        joint, dropout = settings.joint_width, settings.dropout
        self.embed_audio = embedding(shapes.audio, settings.encoder_hidden, joint, dropout)
        self.embed_video = embedding(shapes.video, settings.encoder_hidden, joint, dropout)
        self.embed_text = embedding(shapes.text, settings.text_hidden, joint, dropout)
        both = shapes.audio + shapes.video
        self.gate = nn.Sequential(nn.BatchNorm1d(both), nn.Linear(both, 1), nn.Sigmoid())

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        # the order of the passes fixes the batch-norm statistics
        audio, video = self.embed_audio(batch.audio), self.embed_video(batch.video)
        vectors = classes.vectors.mean(1)
        text = self.embed_text(vectors[batch.label])
        far_audio, far_video = self.embed_audio(batch.audio_negative), self.embed_video(batch.video_negative)
        self.embed_text(vectors[batch.label_negative])
        gate = self.gate(torch.cat([batch.audio, batch.video], 1))  # (clips, 1)
        texts = self.embed_text(vectors).detach()
        own = gate if self.settings.form == "reference" else gate.squeeze(1)
        return {
            "composite": _gated(own, self._triplets(text, audio, far_audio), self._triplets(text, video, far_video)).mean(),
            "audio_video": F.mse_loss(audio, video),
            "attention": F.mse_loss(gate.squeeze(1), self._better(audio.detach(), video.detach(), texts)),
        }

    def _triplets(self, text: Tensor, near: Tensor, far: Tensor) -> Tensor:
        return by_clip(text, near, far, self.settings.margin)

    def _better(self, audio: Tensor, video: Tensor, texts: Tensor) -> Tensor:
        """The gate's target (clips,): 1 where the picture is surer of the classes, 0 where the sound is, else a half."""
        surer = _entropy(audio @ texts.T) - _entropy(video @ texts.T)  # nats by which the picture is
        return 0.5 + 0.5 * ((surer > self.settings.entropy_gap).to(surer) - (surer < -self.settings.entropy_gap).to(surer))

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        texts: Tensor = self.embed_text(classes.vectors.mean(1))
        return texts

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        """For plots: the gated mixture of sound and picture beside the texts; the reference form is scored by it."""
        clips = self._clips(batch)
        return _gated(clips.gate, clips.audio, clips.video), rows

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        clips = self._clips(batch)
        return -_gated(clips.gate, torch.cdist(clips.audio, rows), torch.cdist(clips.video, rows))

    def scores_by_modality(self, batch: Batch, rows: Tensor) -> dict[str, Tensor]:
        clips = self._clips(batch)
        return {"audio": -torch.cdist(clips.audio, rows), "video": -torch.cdist(clips.video, rows)}

    def _clips(self, batch: Batch) -> Embedded:
        gate = self.gate(torch.cat([batch.audio, batch.video], 1))
        if self.settings.form == "reference":
            gate = (gate >= 0.5).to(gate)
        return Embedded(self.embed_audio(batch.audio), self.embed_video(batch.video), gate)

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, RELEASED_NAMES)


def embedding(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """A hidden layer, and a linear one whose outputs are cut at 0: (rows, inputs) to (rows, outputs)."""
    return layers.projection(inputs, hidden, dropout).extend([nn.Linear(hidden, outputs), nn.ReLU()])


def _gated(gate: Tensor, audio: Tensor, video: Tensor) -> Tensor:
    return (1 - gate) * audio + gate * video


def _entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)  # (clips,) in nats


MEMBER = Cjme
