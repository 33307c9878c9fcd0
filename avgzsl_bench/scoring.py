"""Scores of clips with a trained method, chunk by chunk."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avgzsl_bench.batches import Held
from avgzsl_bench.contracts import Batch, ClassText, Method, Tokens, Training
from avgzsl_bench.layers import reseed
from avgzsl_bench.sequences import Limits

SCORING_CHUNK = 8192  # clips scored at once, to bound memory; a constant, since a method may draw per call
TEMPORAL_CHUNK = 64  # the same for sequences


@torch.no_grad()
def prepare(method: Method, training: Training, classes: ClassText, *key: object) -> Tensor:
    """The rows of the candidate classes in evaluation mode, (fits, classes, ...): one fit, or one for each classifier epoch."""
    reseed(method.eval(), "scores", *key)
    rows = method.prepare(training, classes)
    return rows if method.classifier_epochs else rows[None]


@torch.no_grad()
def score(method: Method, clips: Held, rows: Tensor, *key: object) -> Tensor:
    """The score matrix (clips, classes) in evaluation mode, computed once, on the method's device."""
    reseed(method.eval(), "scores", *key)
    return _in_chunks(clips, method.settings, lambda batch: {"": method.scores(batch, rows)})[""]


@torch.no_grad()
def score_modalities(method: Method, clips: Held, rows: Tensor, *key: object) -> dict[str, Tensor]:
    """The score matrices (clips, classes) of audio and video alone, where the method combines them; else none."""
    reseed(method.eval(), "scores", *key)
    return _in_chunks(clips, method.settings, lambda batch: method.scores_by_modality(batch, rows))


@torch.no_grad()
def embed(method: Method, clips: Held, rows: Tensor, *key: object) -> tuple[Tensor, Tensor]:
    """The learned space in evaluation mode: clips (clips, k) beside classes (classes, k), as `score` compares them."""
    reseed(method.eval(), "scores", *key)
    beside: list[Tensor] = []

    def clips_of(batch: Batch) -> dict[str, Tensor]:
        embedded, classes = method.embed(batch, rows)
        beside.append(classes)
        return {"": embedded}

    return _in_chunks(clips, method.settings, clips_of)[""], beside[0]


def _in_chunks(clips: Held, settings: Any, scores: Callable[[Batch], dict[str, Tensor]]) -> dict[str, Tensor]:
    if isinstance(clips.audio, Tokens) and isinstance(clips.video, Tokens):
        limits = Limits(settings.scoring_audio_tokens, settings.scoring_video_tokens)
        # clips of like length together, so that little is computed on padding
        order = torch.from_numpy(np.argsort(clips.video.length + clips.audio.length, kind="stable"))
        parts = [scores(clips.batch(index, limits)) for index in order.split(TEMPORAL_CHUNK)]
        back = order.argsort().to(clips.device)
        return {name: torch.cat([part[name] for part in parts])[back] for name in parts[0]}
    pairs = zip(*(part.split(SCORING_CHUNK) for part in (clips.audio, clips.video) if isinstance(part, Tensor)), strict=True)
    parts = [scores(Batch(audio=audio, video=video)) for audio, video in pairs]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
