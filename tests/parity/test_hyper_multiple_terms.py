"""What Hyper-multiple shares with AVCA, against AVCA's golden arrays; the term it adds, from the golden encoded features."""

import pytest
import torch
from golden_file import Golden
from test_avca_golden import TERMS

from avgzsl_bench.contracts import Shapes
from avgzsl_bench.methods.hyper_multiple import HyperMultiple


def build(golden):
    method = HyperMultiple(
        HyperMultiple.Settings(form="reference", encoder_hidden=48, projector_hidden=32), Shapes(audio=24, video=40, text=300)
    )
    method.load_released(golden.under("state/"))
    return method.train()


def cosines(features):
    lengths = features.norm(dim=1)
    return features @ features.T / (lengths[:, None] * lengths)


def check(method, golden):
    terms = method(*golden.inputs(negatives=True))
    for name, own in TERMS.items():
        golden.equal(f"train/term_{name}", terms.pop(own), "loss")
    for own, side in {"alignment": "", "alignment_negative": "_neg"}.items():
        video, audio = (cosines(golden[f"train/phi_{modality}{side}"]) for modality in "va")
        assert terms.pop(own).item() == pytest.approx(1e-3 * (video - audio).square().mean().item(), rel=1e-5)
    assert not terms


def test_every_term():
    golden = Golden("avca")
    check(build(golden), golden)


def test_a_perturbed_weight_fails():
    golden = Golden("avca")
    method = build(golden)
    with torch.no_grad():
        method.encode_audio[0].weight[0, 0] += 1e-2
    with pytest.raises(AssertionError):
        check(method, golden)
