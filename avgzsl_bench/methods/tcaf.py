"""TCaF (Mercea et al., ECCV 2022): sound attends to picture and picture to sound, token by token, beside a class token.

A transformer whose mask leaves cross-modal attention only; its class token and the class text meet in one space. Symbols are
the paper's: φ encoded tokens, c_o class token, θ joint space, ρ decoded text. The text's width is an input, not the tokens'.
Paper form: tokens lie at their seconds, picture features have length one, padding is left out of batch-norm statistics.
Reference form, as the released code does: picture features are scaled over time, audio is divided by 255 always, seconds count
from the crop, scoring takes token numbers for seconds, padding (to the longest clip, or a limit) counts in the statistics, and
an unused pass moves them.
"""

import math
from collections.abc import Mapping
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, losses, randomness
from avgzsl_bench.contracts import Batch, ClassText, Method, Packing, Shapes, TemporalSettings, Training
from avgzsl_bench.methods._cross_attention import Layer, TokenEncoder, span_of, spans_of

RELEASED_NAMES = {
    "cls_token": "class_token",
    "A_enc.fc.": "encode_audio.",
    "V_enc.fc.": "encode_video.",
    "position_encoder_block.fourier_randn": "frequencies",
    "position_encoder_block.modal_embedding.weight": "modality",
    "position_encoder_block.fourier_embeddings.": "embed_time.",
    "position_encoder_block.pad_embedding.weight": "padding",
    "position_encoder_block.out_proj_audio.": "join_audio.",
    "position_encoder_block.out_proj_video.": "join_video.",
    "O_proj.fc.": "project_clip.",
    "D_o.fc.": "decode_clip.",
    "W_proj.fc.": "project_text.",
    "D_w.fc.": "decode_text.",
}
RELEASED_LAYER_NAMES = {
    "norm.": "norm.",
    "attn.to_q.": "query.",
    "attn.to_k.": "key.",
    "attn.to_v.": "value.",
    "attn.to_out.": "join.",
    "ff.net.": "feed.",
}
RELEASED_DEAD = ("audiovisual_embeddings.",)  # the block of `position_encoder_block`, saved twice
EIGHT_BITS = 255.0  # VGGish features are quantised to 0 to 255


class Tcaf(Method):
    """Temporal cross-attention framework."""

    needs = frozenset({"audio", "video", "temporal"})
    version = 2
    paper = "mercea2022tcaf"

    class Settings(TemporalSettings):
        form: Literal["paper", "reference"] = Field("paper", description="Seconds throughout, or as the released code does.")
        batch_size: int = Field(64, ge=2, description="Clips a step, drawn class-uniformly with replacement.")
        batches_per_epoch: int = Field(300, ge=1, description="Optimiser steps an epoch.")
        learning_rate: float = Field(7e-5, gt=0, description="Initial learning rate of Adam.")
        weight_decay: float = Field(1e-5, ge=0, description="L2 penalty added to the gradient by Adam.")
        attention: Literal["cross", "self", "full"] = Field(
            "cross", description="Tokens attend to the other modality, to their own or to both; the class token to all."
        )
        audio_scale: float = Field(1.0, gt=0, description="Audio features are divided by it: 255 for 8-bit VGGish.")
        depth: int = Field(6, ge=1, description="Layers of the transformer.")
        heads: int = Field(8, ge=1, description="Attention heads.")
        head_width: int = Field(64, ge=1, description="Width of an attention head.")
        width: int = Field(300, ge=1, description="Width of the tokens.")
        feed_width: int = Field(128, ge=1, description="Hidden width of the transformer's feed-forward blocks.")
        time_width: int = Field(64, ge=2, multiple_of=2, description="Width of the time and modality embeddings.")
        frequency_scale: float = Field(10.0, gt=0, description="Spread of the random Fourier frequencies, in cycles a second.")
        encoder_hidden: int = Field(512, ge=1, description="Hidden width of both token encoders.")
        decoder_hidden: int = Field(512, ge=1, description="Hidden width of O_proj and D_o.")
        joint_width: int = Field(64, ge=1, description="Width of the joint space.")
        dropout_encoder: float = Field(0.0, ge=0, lt=1, description="Dropout r_enc of both token encoders.")
        dropout_token: float = Field(0.0, ge=0, lt=1, description="Dropout of the tokens before the transformer.")
        dropout_transformer: float = Field(0.0, ge=0, lt=1, description="Dropout of the transformer's blocks.")
        dropout_decoder: float = Field(0.0, ge=0, lt=1, description="Dropout r_o of O_proj and D_o.")
        dropout_text: float = Field(0.0, ge=0, lt=1, description="Dropout r_w of W_proj and D_w.")
        classification_loss: losses.ClassificationLoss = Field(
            "cross_entropy", validate_default=True, description="Loss of the products of clips and class texts."
        )

        @model_validator(mode="after")
        def _reference_reads(self) -> Self:
            if self.form == "reference" and self.audio_scale not in (1.0, EIGHT_BITS):
                raise ValueError("the reference form divides audio by 255 always; leave audio_scale out")
            return self

    settings: Settings
    frequencies: Tensor

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        self.packed = settings.form == "paper"
        if settings.form == "reference":
            self.turns = ("all", "statistics")
        width, place, joint = settings.width, settings.time_width, settings.joint_width
        encoder = (settings.encoder_hidden, width, settings.dropout_encoder)
        self.encode_audio = TokenEncoder(shapes.audio, *encoder)  # A_enc
        self.encode_video = TokenEncoder(shapes.video, *encoder)  # V_enc
        # the released code multiplies (t, t) by two rows of frequencies
        self.register_buffer("frequencies", settings.frequency_scale * torch.randn(2, place // 2))
        self.embed_time = nn.Linear(place, place)
        self.modality = nn.Parameter(torch.randn(2, place))
        self.padding = nn.Parameter(torch.randn(1, place))  # no result depends on it, since nothing attends to padding
        self.join_audio = nn.Linear(width + place, width)
        self.join_video = nn.Linear(width + place, width)
        self.drop_tokens = layers.Dropout(settings.dropout_token)
        self.class_token = nn.Parameter(torch.randn(1, 1, width))
        sizes = (width, settings.heads, settings.head_width, settings.feed_width)
        self.transformer = nn.ModuleList(Layer(*sizes, settings.dropout_transformer) for _ in range(settings.depth))
        hidden, clip, text = settings.decoder_hidden, settings.dropout_decoder, settings.dropout_text
        self.project_clip = layers.perceptron(width, hidden, joint, clip)  # O_proj
        self.decode_clip = layers.perceptron(joint, hidden, shapes.text, clip)  # D_o
        self.project_text = layers.projection(shapes.text, joint, text)  # W_proj
        self.decode_text = layers.projection(joint, shapes.text, text)  # D_w
        self.classification_loss = losses.make(settings.classification_loss)

    def parts(self) -> dict[str, list[nn.Parameter]]:
        return {"all": list(self.parameters())}  # of any form: the pass for statistics moves no parameter

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        texts = classes.vectors.mean(1)
        text = texts[batch.label]  # w (clips, dim)
        if turn == "statistics":
            self._clips(_numbered(batch))
            self.project_text(text)
            return {}
        theta = self._clips(_from_the_crop(batch) if self.settings.form == "reference" else batch)  # θ_o (clips, joint width)
        theta_text = self.project_text(text)  # θ_w; the order of the passes fixes the batch-norm statistics
        logits = theta @ self.project_text(texts).T  # (clips, classes)
        return {
            "classification": self.classification_loss(logits, batch.label, classes.vectors),  # L_ce
            "regression": F.mse_loss(theta, theta_text),  # L_reg
            "reconstruct_clip": F.mse_loss(self.decode_clip(theta), text),  # L_rec
            "reconstruct_text": F.mse_loss(self.decode_text(theta_text), text),
        }

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        texts: Tensor = self.project_text(classes.vectors.mean(1))
        return texts

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self._clips(_numbered(batch) if self.settings.form == "reference" else batch), rows

    def _clips(self, batch: Batch) -> Tensor:
        audio, video = self._scaled(batch)
        packing = batch.packing or _a_clip_a_row(batch)
        heard, seen, token = (
            _names(kind, clip, time)
            for kind, clip, time in (
                (0, packing.audio, batch.audio_time),
                (1, packing.video, batch.video_time),
                (2, packing.clips, torch.zeros_like(packing.clips)),
            )
        )
        audio = self.encode_audio(audio, heard, self._counted(batch.audio_mask, self.settings.training_audio_tokens))
        video = self.encode_video(video, seen, self._counted(batch.video_mask, self.settings.training_video_tokens))
        audio = self.join_audio(self._placed(audio, batch.audio_time, batch.audio_mask, 0))
        video = self.join_video(self._placed(video, batch.video_time, batch.video_mask, 1))
        tokens = self.class_token.expand(*packing.clips.shape, -1)
        tokens = torch.cat([self.drop_tokens(audio, heard), tokens, self.drop_tokens(video, seen)], 1)
        rows = self._class_tokens(tokens, packing, torch.cat([heard, token, seen], 1))
        theta: Tensor = self.project_clip(rows[packing.seat[:, 0], packing.seat[:, 1]])
        return theta

    def _scaled(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if self.settings.form == "reference":
            return batch.audio / EIGHT_BITS, F.normalize(batch.video, dim=1)
        return batch.audio / self.settings.audio_scale, F.normalize(batch.video, dim=2)

    def _counted(self, real: Tensor, limit: int) -> Tensor:
        """Which tokens count in batch-norm statistics (rows, time): the reference form pads to a limit, or the longest clip."""
        if self.settings.form == "paper":
            return real
        return torch.ones_like(real) if limit else real.any(0).expand_as(real)

    def _placed(self, features: Tensor, time: Tensor, mask: Tensor, modality: int) -> Tensor:
        """Features beside their modality, their time in random Fourier features, and whether they are padding."""
        angles = (2 * math.pi * torch.stack([time, time], 2)) @ self.frequencies  # (rows, time, time width / 2)
        place = self.embed_time(torch.cat([angles.sin(), angles.cos()], 2)) + self.modality[modality]
        return torch.cat([features, place + torch.where(mask[..., None], 0.0, self.padding)], 2)

    def _class_tokens(self, tokens: Tensor, packing: Packing, names: Tensor) -> Tensor:
        """c_o (rows, seats, width): the class tokens after the last layer, which computes no others."""
        # between sound and picture, so that whatever a token may attend to lies together
        spans = spans_of(self.settings.attention, packing.audio, packing.clips, packing.video)
        *layers_before, last = self.transformer
        for layer in layers_before:
            tokens = layer(tokens, spans, names)
        first, seats = packing.audio.shape[1], packing.clips.shape[1]
        asking = slice(first, first + seats)
        clip = torch.cat([packing.audio, packing.clips, packing.video], 1)
        outcome: Tensor = last(tokens, [span_of(clip, asking, slice(0, tokens.shape[1]))], names[:, asking])
        return outcome

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, released_names(self.settings.depth), RELEASED_DEAD)


def released_names(depth: int) -> dict[str, str]:
    """Prefixes of released names, and ours in their place."""
    in_layers = {
        f"Audio_visual_transformer.layers.{number}.{theirs}": f"transformer.{number}.{ours}"
        for number in range(depth)
        for theirs, ours in RELEASED_LAYER_NAMES.items()
    }
    return RELEASED_NAMES | in_layers


def _a_clip_a_row(batch: Batch) -> Packing:
    """The packing of a batch that is not packed; padding keeps its clip apart."""
    number = torch.arange(len(batch.audio_mask), device=batch.audio_mask.device)[:, None]  # (clips, 1)
    audio, video = (torch.where(mask, number, ~number) for mask in (batch.audio_mask, batch.video_mask))
    return Packing(audio, video, number, torch.cat([number, torch.zeros_like(number)], 1))


def _names(kind: int, clip: Tensor, time: Tensor) -> Tensor:
    """A number for every token (rows, time), wherever it stands: of its kind, its clip and its millisecond."""
    return randomness.mix(3 * clip.int() + kind) ^ (1000 * time).round().int()


def _numbered(batch: Batch) -> Batch:
    """Tokens at their numbers in place of their seconds."""
    audio, video = (
        torch.arange(time.shape[1], device=time.device).to(time).expand_as(time) for time in (batch.audio_time, batch.video_time)
    )
    return batch._replace(audio_time=audio, video_time=video)


def _from_the_crop(batch: Batch) -> Batch:
    """Seconds from the first token that is left."""
    audio, video = (time - time[:, :1] for time in (batch.audio_time, batch.video_time))
    return batch._replace(audio_time=audio, video_time=video)


MEMBER = Tcaf
