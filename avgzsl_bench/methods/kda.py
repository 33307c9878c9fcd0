"""KDA (Chen et al., 2023): clips and class descriptions meet in one space, by aligned distributions and adaptive margins.

Equation numbers are the paper's. Where it is silent: blocks and widths are those of the released code; E_av and E_t end in
a plain linear layer; a class's texts are averaged by default, and with `combine=set` embedded one by one, a Gaussian over them.
One modality alone (Table 6) has neither the cross-attention nor the tokens' modality vectors, and E_av reads its θ alone.
Reference form: what the released code trains, five times the squared error between a linear map of the clip and the raw text.
"""

from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, losses
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings

RELEASED_NAMES = {
    "pos_emb1D": "modality",
    "A_enc.fc.": "encode_audio.",
    "V_enc.fc.": "encode_video.",
    "cross_attention.layers.0.0.norm.": "attention.norm.",
    "cross_attention.layers.0.0.fn.to_qkv.": "attention.attend.",
    "cross_attention.layers.0.0.fn.to_out.": "attention.join.",
    "cross_attention.layers.0.1.norm.": "attention.feed.0.",
    "cross_attention.layers.0.1.fn.net.0.": "attention.feed.1.",
    "cross_attention.layers.0.1.fn.net.3.": "attention.feed.4.",
    "A_proj.fc.": "project_audio.",
    "V_proj.fc.": "project_video.",
    "ALE_vector": "embed_clips.weight",
}
RELEASED_DEAD = ("av2com.", "t2com.", "margin_generator.")  # no gradient reaches them


class Kda(Method):
    """Knowledge-aware distribution adaptation."""

    paper = "chen2023"

    class Settings(TrainingSettings):
        form: Literal["paper", "reference"] = Field("paper", description="Equations 4 to 9, or what the released code trains.")
        text_normalise: Literal["unit", "raw"] = Field("raw", description="Scale text vectors to length one, or leave them.")
        alignment_weight: float = Field(5.0, ge=0, description="λ of equation 9; in the reference form, of the squared error.")
        dropout_encoder: float = Field(0.0, ge=0, lt=1, description="Dropout r_enc of the encoders of both modalities.")
        dropout_attention: float = Field(0.1, ge=0, lt=1, description="Dropout of the cross-attention.")
        dropout_projector: float = Field(0.0, ge=0, lt=1, description="Dropout r_proj of the projectors and of E_av.")
        dropout_decoder: float = Field(0.0, ge=0, lt=1, description="Dropout r_dec of E_t (unused in the reference form).")
        modalities: Literal["both", "audio", "video"] = Field("both", description="What is seen of a clip (paper form).")
        width: int = Field(512, ge=1, description="Width of the tokens and of the common space.")
        video_hidden: int = Field(1024, ge=1, description="Hidden width of the video encoder.")
        norm_inputs: bool = Field(False, description="Scale the fused vector θ_av to length one.")
        alignment_loss: losses.AlignmentLoss = Field("wasserstein", validate_default=True, description="L_align (paper form).")
        classification_loss: losses.ClassificationLoss = Field(
            "adaptive_margin", validate_default=True, description="L_kaml (paper form)."
        )

        @model_validator(mode="after")
        def _reference_reads(self) -> Self:
            if self.form == "paper":
                return self
            default = type(self)()
            for name in ("dropout_decoder", "modalities", "alignment_loss", "classification_loss"):
                if getattr(self, name) != getattr(default, name):
                    raise ValueError(f"the reference form does not read {name}; leave it out")
            return self

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        width, encoder, projector = settings.width, settings.dropout_encoder, settings.dropout_projector
        both = settings.modalities == "both"
        if settings.modalities != "video":
            self.encode_audio = layers.perceptron(shapes.audio, width, width, encoder)  # A_enc
        if settings.modalities != "audio":
            self.encode_video = layers.perceptron(shapes.video, settings.video_hidden, width, encoder)  # V_enc
        if both:
            self.attention = layers.TokenMixer(width, settings.dropout_attention)  # F_c
            self.modality = nn.Parameter(torch.randn(2, width))
        if settings.modalities != "video":
            self.project_audio = layers.perceptron(width, width, width, projector)  # A_proj
        if settings.modalities != "audio":
            self.project_video = layers.perceptron(width, width, width, projector)  # V_proj
        if settings.form == "reference":
            self.embed_clips: nn.Module = nn.Linear(2 * width, shapes.text, bias=False)
            nn.init.uniform_(self.embed_clips.weight, 0, 2e-4)
            return
        self.embed_clips = Embedding(2 * width if both else width, width, projector)  # E_av
        self.embed_texts = Embedding(shapes.text, width, settings.dropout_decoder)  # E_t
        self.alignment_loss = losses.make(settings.alignment_loss)
        self.classification_loss = losses.make(settings.classification_loss)

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        clips = self._clips(batch)  # ρ_av (clips, width)
        if self.settings.form == "reference":
            text = classes.vectors.mean(1)[batch.label]
            return {"regression": self.settings.alignment_weight * F.mse_loss(clips, text)}
        hidden = self.embed_texts.hidden(classes.vectors.flatten(0, 1))
        texts = self._by_class(self.embed_texts.last(hidden), classes)  # ρ_t (classes, texts, width)
        still = self._by_class(self.embed_texts.linear(hidden), classes).detach()  # ρ_t without dropout: margins and target
        logits = clips @ texts.mean(1).T  # s (clips, classes)
        return {
            "classification": self.classification_loss(logits, batch.label, still),  # equations 5 to 7
            "alignment": self.settings.alignment_weight * self.alignment_loss(clips, still, batch.label),  # equation 4
        }

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        if self.settings.form == "reference":
            return classes.vectors.mean(1)
        return self._by_class(self.embed_texts(classes.vectors.flatten(0, 1)), classes).mean(1)

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self._clips(batch), rows  # scored by their distance: equation 8

    def _clips(self, batch: Batch) -> Tensor:
        if self.settings.modalities == "audio":
            fused = self.project_audio(self.encode_audio(batch.audio))  # θ (clips, width)
        elif self.settings.modalities == "video":
            fused = self.project_video(self.encode_video(batch.video))
        else:
            fused = self._fused(batch)
        embedded: Tensor = self.embed_clips(F.normalize(fused) if self.settings.norm_inputs else fused)
        return embedded

    def _fused(self, batch: Batch) -> Tensor:
        audio, video = self.encode_audio(batch.audio), self.encode_video(batch.video)  # φ (clips, width)
        mixed = self.attention(torch.stack([audio, video], 1) + self.modality)  # (clips, 2, width)
        theta_audio = self.project_audio(audio + mixed[:, 0])
        theta_video = self.project_video(video + mixed[:, 1])
        return torch.cat([theta_video, theta_audio], 1)  # θ_av (clips, 2 width)

    @staticmethod
    def _by_class(texts: Tensor, classes: ClassText) -> Tensor:
        return texts.view(*classes.vectors.shape[:2], -1)

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint (reference form); AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, RELEASED_NAMES, RELEASED_DEAD)


class Embedding(nn.Module):
    """E_av and E_t: a hidden block, dropout, and a plain linear layer that gives both sides their signs."""

    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.ReLU())
        self.dropout = layers.Dropout(dropout)
        self.linear = nn.Linear(width, width)

    def forward(self, values: Tensor) -> Tensor:
        """(rows, inputs) to (rows, width)."""
        return self.last(self.hidden(values))

    def last(self, hidden: Tensor) -> Tensor:
        """What follows the hidden block."""
        embedded: Tensor = self.linear(self.dropout(hidden))
        return embedded


MEMBER = Kda
