"""AVGZSLNet (Mazumder et al., 2021): sound, picture and class text in one space, from which one decoder rebuilds the text.

Triplets pull a clip and its text together in that space and in the decoder's; scored by the sum of two distances, of the
sound and of the picture, to the text. Widths and dropout are those of the port of Mercea et al. (2022), which this file equals:
there is one form. `embed`, for plots, gives the middle of sound and picture beside the texts.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from avgzsl_bench import layers, losses
from avgzsl_bench.contracts import Batch, ClassText, Method, Shapes, Training, TrainingSettings

RELEASED_NAMES = {
    "triplet_net.embedding_net1.fc.": "embed_audio.",
    "triplet_net.embedding_net2.fc.": "embed_video.",
    "triplet_net.embedding_net3.fc.": "embed_text.",
    "decoder_net.embedding_net.fc.": "decode_text.",
}


class Avgzslnet(Method):
    """Cross-modal decoder and composite triplets."""

    needs = frozenset({"audio", "video", "negatives"})
    paper = "mazumder2021"

    class Settings(TrainingSettings):
        dropout_encoder: float = Field(0.8, ge=0, lt=1, description="Dropout of the hidden layers of the three embeddings.")
        dropout_decoder: float = Field(0.5, ge=0, lt=1, description="Dropout of the decoder's hidden layer.")
        joint_width: int = Field(64, ge=1, description="Width of the joint space.")
        encoder_hidden: int = Field(1024, ge=1, description="Hidden width of the embeddings of both modalities.")
        text_hidden: int = Field(300, ge=1, description="Hidden width of the embedding of class text.")
        decoder_hidden: int = Field(64, ge=1, description="Hidden width of the decoder.")
        triplet_loss: losses.TripletLoss = Field("triplet", validate_default=True, description="Loss of every triplet.")

    settings: Settings

    def __init__(self, settings: Settings, shapes: Shapes) -> None:
        super().__init__(settings, shapes)
        joint, dropout = settings.joint_width, settings.dropout_encoder
        self.embed_audio = perceptron(shapes.audio, settings.encoder_hidden, joint, dropout)
        self.embed_video = perceptron(shapes.video, settings.encoder_hidden, joint, dropout)
        self.embed_text = perceptron(shapes.text, settings.text_hidden, joint, dropout)
        self.decode_text = perceptron(joint, settings.decoder_hidden, shapes.text, settings.dropout_decoder)
        self.triplet_loss = losses.make(settings.triplet_loss)

    def losses(self, batch: Batch, classes: ClassText, turn: str) -> dict[str, Tensor]:
        vectors = classes.vectors.mean(1)
        own, other = vectors[batch.label], vectors[batch.label_negative]
        # the order of the passes fixes the batch-norm statistics
        audio, video, text = self.embed_audio(batch.audio), self.embed_video(batch.video), self.embed_text(own)
        far_audio, far_video = self.embed_audio(batch.audio_negative), self.embed_video(batch.video_negative)
        far_text = self.embed_text(other)
        from_audio, from_video, from_text = self._decoded(audio), self._decoded(video), self._decoded(text)
        triplet = self.triplet_loss
        return {
            "reconstruct_text": _apart(from_text, own),
            "reconstruct_audio": _apart(from_audio, own),
            "reconstruct_video": _apart(from_video, own),
            "decoded_audio": triplet(from_text, from_audio, self._decoded(far_audio)),
            "decoded_video": triplet(from_text, from_video, self._decoded(far_video)),
            "text_audio": triplet(text, audio, far_audio),
            "audio_text": triplet(audio, text, far_text),
            "text_video": triplet(text, video, far_video),
            "video_text": triplet(video, text, far_text),
        }

    def _decoded(self, joint: Tensor) -> Tensor:
        return F.normalize(self.decode_text(joint))

    def prepare(self, training: Training, classes: ClassText) -> Tensor:
        texts: Tensor = self.embed_text(classes.vectors.mean(1))
        return texts

    def embed(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        return (self.embed_audio(batch.audio) + self.embed_video(batch.video)) / 2, rows

    def scores(self, batch: Batch, rows: Tensor) -> Tensor:
        alone = self.scores_by_modality(batch, rows)
        return alone["audio"] + alone["video"]

    def scores_by_modality(self, batch: Batch, rows: Tensor) -> dict[str, Tensor]:
        audio, video = self.embed_audio(batch.audio), self.embed_video(batch.video)
        return {"audio": -torch.cdist(audio, rows), "video": -torch.cdist(video, rows)}

    def load_released(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a released checkpoint; AvgzslError lists names that are unknown or missing."""
        layers.load_renamed(self, state, RELEASED_NAMES)


def perceptron(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    """A hidden layer and a linear one: (rows, inputs) to (rows, outputs)."""
    return layers.projection(inputs, hidden, dropout).append(nn.Linear(hidden, outputs))


def _apart(decoded: Tensor, text: Tensor) -> Tensor:
    distances: Tensor = torch.linalg.vector_norm(decoded - text, dim=1)  # (clips,)
    return distances.mean()


MEMBER = Avgzslnet
