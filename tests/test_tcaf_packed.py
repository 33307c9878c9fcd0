"""TCaF's clips in other layouts: several in a row, behind more padding, or stacked with those of another seed."""

from functools import partial

import numpy as np
import pytest
import torch
from test_tcaf import AUDIO, FORMS, SECONDS, VIDEO, build, text
from torch.func import functional_call, grad, stack_module_state, vmap

from avgzsl_bench.clips import Tokens
from avgzsl_bench.contracts import Batch, ClassText
from avgzsl_bench.layers import reseed
from avgzsl_bench.sequences import Limits, gather
from avgzsl_bench.stacking import collate

RATES = dict.fromkeys([f"dropout_{part}" for part in ("encoder", "token", "transformer", "decoder", "text")], 0.3)
CLIPS = 12


def seconds(seed):
    return np.random.default_rng(seed).uniform(1, 9, CLIPS)


def ragged(seed, kind, dim):
    """Clips of 1 to 9 seconds."""
    length = np.maximum(1, seconds(seed) // SECONDS[kind]).astype(np.int64)
    rows = np.random.default_rng(dim).random((length.sum(), dim)).astype(np.float32)
    return Tokens.flat(rows, np.cumsum([0, *length]))


def batch_of(seed=0, packed=0, limits=Limits(), place=None):
    """Clips in float64, so that rounding hides no difference between layouts."""
    tokens = ragged(seed, "audio", AUDIO), ragged(seed, "video", VIDEO)
    audio, video, packing = gather(*tokens, SECONDS, np.arange(CLIPS), limits, place, torch.device("cpu"), packed)
    parts = {"audio": audio.values, "audio_time": audio.time, "video": video.values, "video_time": video.time}
    return Batch(
        label=(torch.arange(CLIPS) + seed) % 5,
        audio_mask=audio.mask,
        video_mask=video.mask,
        packing=packing,
        **{name: part.double() for name, part in parts.items()},
    )


def method_of(form="paper", seed=0, **settings):
    method = build(form, **RATES, **settings).double().train()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.mul_(1 + 0.1 * seed)
    reseed(method, seed)
    return method


def classes():
    return ClassText(text().vectors.double())


def after_a_step(method, batch):
    """Losses and gradients of a training step, and the statistics that it leaves behind."""
    terms = method(batch, classes())
    sum(terms.values()).backward()
    gradients = {name: parameter.grad for name, parameter in method.named_parameters()}
    return {name: value.detach() for name, value in (terms | gradients | dict(method.named_buffers())).items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-9, msg=partial("{} ({})".format, name))


def widened(batch, audio=0, video=0, rows=0, seats=0):
    """The batch in a larger layout: so many more columns of each modality, seats and rows, all of them empty."""

    def part(value, columns, empty=0):
        more = value.new_full((len(value), columns, *value.shape[2:]), empty)
        value = torch.cat([value, more], 1)
        return torch.cat([value, value.new_full((rows, *value.shape[1:]), empty)])

    parts = {
        f"{kind}{what}": part(getattr(batch, f"{kind}{what}"), columns)
        for kind, columns in (("audio", audio), ("video", video))
        for what in ("", "_mask", "_time")
    }
    if batch.packing:
        owners = (batch.packing.audio, audio), (batch.packing.video, video), (batch.packing.clips, seats)
        parts["packing"] = batch.packing._replace(
            **{name: part(*owner, -1) for name, owner in zip(("audio", "video", "clips"), owners, strict=True)}
        )
    return batch._replace(**parts)


@pytest.mark.parametrize("short", [0, 256])
@pytest.mark.parametrize("attention", ["cross", "self", "full"])
@pytest.mark.parametrize("limits", [Limits(), Limits(4, 6)])
def test_clips_that_share_rows_train_as_in_rows_of_their_own(monkeypatch, short, attention, limits):
    monkeypatch.setattr("avgzsl_bench.methods._cross_attention.SHORT", short)
    place = np.random.default_rng(1).random(CLIPS)
    packed, padded = (batch_of(0, each, limits, place) for each in (True, False))
    assert len(packed.audio) < len(padded.audio) == CLIPS
    expected = after_a_step(method_of(attention=attention), padded)
    assert_same(after_a_step(method_of(attention=attention), packed), expected)


@pytest.mark.parametrize(("form", "packed"), [("paper", False), ("paper", True), ("reference", False)])
def test_a_larger_layout_trains_alike(form, packed):
    batch = batch_of(0, packed)
    expected = after_a_step(method_of(form), batch)
    more = {"rows": 2, "seats": 1} if packed else {}
    assert_same(after_a_step(method_of(form), widened(batch, audio=3, video=2, **more)), expected)


@pytest.mark.parametrize("form", FORMS)
def test_stacked_seeds_with_batches_of_their_own_train_as_each_alone(form):
    batches, words = [batch_of(seed, packed=form == "paper") for seed in (4, 5)], classes()
    methods = [method_of(form, seed) for seed in (0, 1)]
    parameters, buffers = stack_module_state(methods)

    def total(parameters, buffers, batch):
        return sum(functional_call(methods[0], (parameters, buffers), (batch, words)).values())

    gradients = vmap(grad(total))(parameters, buffers, collate(batches))
    for copy, batch in enumerate(batches):
        alone = after_a_step(method_of(form, copy), batch)
        found = {name: part[copy] for name, part in (gradients | buffers).items()}
        assert_same(found, {name: alone[name] for name in found})


def test_the_reference_form_takes_a_clip_a_row():
    assert not build("reference").packed
    assert build().packed
