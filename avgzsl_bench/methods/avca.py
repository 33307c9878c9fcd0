"""AVCA (Mercea et al., 2022): cross-attention between sound and picture, joined with class text by triplets and reconstruction.

Symbols are the paper's: φ encoded features, θ joint space, ρ decoded text. Only θ_v is scored; sound enters by the attention.
Paper form: positions are trained. Reference form, as the released code does: positions stay as drawn, and three unused passes
move batch-norm statistics: the other class's θ_w decoded, a second projection of the reconstructed features, and an inference
pass after each step.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, losses
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings

RELEASED_NAMES = {
    "pos_emb1D": "positions",
    "A_enc.fc.": "encode_audio.",
    "V_enc.fc.": "encode_video.",
    "cross_attention.layers.0.0.norm.": "attention.norm.",
    "cross_attention.layers.0.0.fn.to_qkv.": "attention.attend.",
    "cross_attention.layers.0.0.fn.to_out.": "attention.join.",
    "cross_attention.layers.0.1.norm.": "attention.feed.0.",
    "cross_attention.layers.0.1.fn.net.0.": "attention.feed.1.",
    "cross_attention.layers.0.1.fn.net.3.": "attention.feed.4.",
    "W_proj.fc.": "project_text.",
    "D.fc.": "decode.",
    "A_proj.fc.": "project_audio.",
    "V_proj.fc.": "project_video.",
    "A_rec.fc.": "reconstruct_audio.",
    "V_rec.fc.": "reconstruct_video.",
}


class Clips(NamedTuple):
    """What the network makes of clips."""

    phi_audio: Tensor  # (clips, width)
    phi_video: Tensor
    mixed: Tensor  # (clips, 2, width), after the attention
    theta_audio: Tensor  # (clips, joint width)
    theta_video: Tensor


class Avca(Method):
    """Audio-visual cross-attention."""

    needs = frozenset({"audio", "video", "negatives"})
    paper = "mercea2022"

    class Settings(TrainingSettings):
        form: Literal["paper", "reference"] = Field("paper", description="Positions trained, or as the released code does.")
        weight_decay: float = Field(1e-5, ge=0, description="L2 penalty added to the gradient by Adam.")
        dropout_encoder: float = Field(0.0, ge=0, lt=1, description="Dropout r_enc of both encoders and of the attention.")
        dropout_projector: float = Field(0.0, ge=0, lt=1, description="Dropout r_proj of the projectors of both modalities.")
        dropout_decoder: float = Field(0.0, ge=0, lt=1, description="Dropout r_dec of the text projector and of all decoders.")
        width: int = Field(300, ge=1, description="Width of the tokens.")
        joint_width: int = Field(64, ge=1, description="Width of the joint space.")
        encoder_hidden: int = Field(512, ge=1, description="Hidden width of both encoders.")
        projector_hidden: int = Field(512, ge=1, description="Hidden width of the projectors of both modalities.")
        batch_norm_momentum: float = Field(
            0.1, gt=0, le=1, description="Momentum of the last batch norm of both encoders and both projectors."
        )
        triplet_loss: losses.TripletLoss = Field("triplet", validate_default=True, description="Loss of every triplet.")

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        if settings.form == "reference":
            self.turns = ("all", "statistics")
        width, joint, momentum = settings.width, settings.joint_width, settings.batch_norm_momentum
        hidden, encoder, decoder = settings.encoder_hidden, settings.dropout_encoder, settings.dropout_decoder
        between = (width, settings.projector_hidden, joint, settings.dropout_projector, momentum)
        self.encode_audio = layers.perceptron(shapes.audio, hidden, width, encoder, momentum)  # A_enc
        self.encode_video = layers.perceptron(shapes.video, hidden, width, encoder, momentum)  # V_enc
        self.attention = layers.TokenMixer(width, encoder)
        self.project_text = layers.projection(shapes.text, joint, decoder)  # W_proj
        self.decode = layers.projection(joint, shapes.text, decoder)  # D, shared by sound, picture and text
        self.project_audio = layers.perceptron(*between)  # A_proj
        self.project_video = layers.perceptron(*between)  # V_proj
        self.reconstruct_audio = layers.projection(joint, width, decoder)  # A_rec
        self.reconstruct_video = layers.projection(joint, width, decoder)  # V_rec
        self.positions = nn.Parameter(torch.randn(2, width))
        self.triplet_loss = losses.make(settings.triplet_loss)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        frozen = self.positions if self.settings.form == "reference" else None
        return {"all": [parameter for parameter in self.parameters() if parameter is not frozen]}

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        text = classes.vectors.mean(1)
        if turn == "statistics":
            self._clips(batch.audio, batch.video)
            self.project_text(text[batch.label])
            return {}
        # the order of the passes, here and in _terms, fixes the batch-norm statistics
        own = self._clips(batch.audio, batch.video)
        other = self._clips(batch.audio_negative, batch.video_negative)
        return self._terms(own, other, text[batch.label], text[batch.label_negative])

    def _terms(self, own: Clips, other: Clips, text: Tensor, text_negative: Tensor) -> dict[str, Tensor]:
        theta, theta_other = self.project_text(text), self.project_text(text_negative)  # θ_w
        rho = self.decode(theta)  # ρ_w
        phi_video, phi_audio = self.reconstruct_video(own.theta_video), self.reconstruct_audio(own.theta_audio)
        if self.settings.form == "reference":
            self.decode(theta_other)
            self.project_audio(phi_audio)
            self.project_video(phi_video)
        rho_audio, rho_audio_other = self.decode(own.theta_audio), self.decode(other.theta_audio)
        rho_video, rho_video_other = self.decode(own.theta_video), self.decode(other.theta_video)
        triplet, square = self.triplet_loss, F.mse_loss
        return {
            "reconstruct_text_video": square(rho_video, text),  # l_rec
            "reconstruct_text_audio": square(rho_audio, text),
            "reconstruct_text_text": square(rho, text),
            "decoded_audio": triplet(rho, rho_audio, rho_audio_other),  # l_ct
            "decoded_video": triplet(rho, rho_video, rho_video_other),
            "text_audio": triplet(theta, own.theta_audio, other.theta_audio),  # l_w
            "audio_text": triplet(own.theta_audio, theta, theta_other),
            "text_video": triplet(theta, own.theta_video, other.theta_video),
            "video_text": triplet(own.theta_video, theta, theta_other),
            "audio_text_audio": triplet(own.theta_audio, theta, other.theta_audio),  # l_t
            "video_text_video": triplet(own.theta_video, theta, other.theta_video),
            "text_audio_text": triplet(theta, own.theta_audio, theta_other),
            "text_video_text": triplet(theta, own.theta_video, theta_other),
            "reconstruct_video": square(phi_video, own.phi_video),  # l_r
            "reconstruct_audio": square(phi_audio, own.phi_audio),
            "video_to_text": square(own.theta_video, theta),
            "audio_to_text": square(own.theta_audio, theta),
        }

    def _clips(self, audio: Tensor, video: Tensor) -> Clips:
        phi_audio, phi_video = self.encode_audio(audio), self.encode_video(video)
        mixed = self.attention(torch.stack([phi_audio, phi_video], 1) + self.positions)
        theta_audio = self.project_audio(phi_audio + mixed[:, 0])
        return Clips(phi_audio, phi_video, mixed, theta_audio, self.project_video(phi_video + mixed[:, 1]))

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        texts: Tensor = self.project_text(classes.vectors.mean(1))
        return texts

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self._clips(batch.audio, batch.video).theta_video, rows

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, RELEASED_NAMES)


MEMBER = Avca
