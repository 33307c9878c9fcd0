"""The reference form of TCaF against arrays that the released code made, under three attention masks and two collations."""

from itertools import product

import numpy as np
import pytest
import torch
from golden_file import Golden, outputs_of

from avgzsl_bench import layers
from avgzsl_bench.clips import Tokens
from avgzsl_bench.contracts import Batch, ClassText, Shapes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods import _cross_attention, tcaf
from avgzsl_bench.methods.tcaf import Tcaf
from avgzsl_bench.sequences import Limits, gather

# what the method has not, and a weight that no result depends on, since nothing attends to padding
RELEASED_DEAD = (*tcaf.RELEASED_DEAD, "position_encoder_block.pad_embedding.")
SECONDS = {"audio": 0.96, "video": 16 / 25}
MASKS = {"cross_only": "cross", "self_only": "self", "self_and_cross": "full"}
LIMITS = {"max": Limits(), "fixed": Limits(3, 5)}
PASSES = {
    "project_text": ["theta_w", None],
    "decode_text": ["rho_w"],
    "project_clip": ["theta_o"],
    "decode_clip": ["rho_o"],
}


def build(golden, mask="cross_only", form="reference"):
    sizes = {"depth": 2, "heads": 2, "head_width": 8, "feed_width": 24, "time_width": 12, "encoder_hidden": 24}
    settings = Tcaf.Settings(form=form, attention=MASKS[mask], decoder_hidden=16, **sizes)
    method = Tcaf(settings, Shapes(audio=20, video=28, text=300))
    method.load_released(golden.under("state/"))
    return method.train()


def released_names(golden, method):
    """Our name of every weight, by its released one."""
    prefixes = tcaf.released_names(method.settings.depth)
    names = [key.removeprefix("state/") for key in golden.arrays if key.startswith("state/")]
    return {name: layers._rename(name, prefixes) for name in names}


def inputs(golden, mode):
    """The batch that the sampler's own collation makes of the ragged clips, held against the recorded one."""
    clips = [[golden[f"in/{kind}_{i}"].numpy() for i in range(6)] for kind in ("audio", "video")]
    ragged = [Tokens.flat(np.concatenate(each), np.cumsum([0, *map(len, each)])) for each in clips]
    padded = gather(*ragged, SECONDS, np.arange(6), LIMITS[mode], None, torch.device("cpu"))[:2]
    parts = {}
    for kind, sequences in zip(("audio", "video"), padded, strict=True):
        golden.equal(f"collate_{mode}/{kind}", sequences.values)
        golden.equal(f"collate_{mode}/{kind}_mask", sequences.mask)
        parts |= {kind: sequences.values, f"{kind}_mask": sequences.mask, f"{kind}_time": sequences.time}
    batch = Batch(label=golden["in/label"], **parts)
    from_the_crop = tcaf._from_the_crop(batch)
    golden.equal(f"collate_{mode}/time_audio", from_the_crop.audio_time)
    golden.equal(f"collate_{mode}/time_video", from_the_crop.video_time)
    return batch, ClassText(golden["in/classes"][:, None])


def check_evaluation(golden, method, setting, batch, classes):
    method.eval()
    rows = method.prepare(None, classes)
    golden.equal(f"{setting}/eval/theta_w_classes", rows)
    golden.equal(f"{setting}/eval/get_embeddings_theta_o", method.embed(batch, rows)[0])
    outputs = outputs_of(method, PASSES)
    method(batch, classes)
    golden.equal(f"{setting}/eval/forward_w", classes.vectors[batch.label, 0])
    for name, keys in PASSES.items():
        for key, output in zip(keys, outputs[name], strict=True):
            if key:
                golden.equal(f"{setting}/eval/forward_{key}", output)


def check_training(golden, method, setting, batch, classes):
    method.train()
    terms = method(batch, classes)
    golden.equal(f"{setting}/train/cross_entropy", terms["classification"], "loss")
    golden.equal(f"{setting}/train/loss_reg", terms["regression"], "loss")
    golden.equal(f"{setting}/train/loss_cmd_rec", terms["reconstruct_clip"] + terms["reconstruct_text"], "loss")
    golden.equal(f"{setting}/train/total_loss", sum(terms.values()), "loss")
    sum(terms.values()).backward()
    own, names, prefix = dict(method.named_parameters()), released_names(golden, method), f"{setting}/train/gradnorm/"
    for key in [key for key in golden.arrays if key.startswith(prefix)]:
        golden.equal(key, own[names[key.removeprefix(prefix)]].grad.norm(), "gradient")


def compare():
    golden = Golden("tcaf")
    for mask, mode in product(MASKS, LIMITS):
        batch, classes = inputs(golden, mode)
        method = build(golden, mask)
        check_evaluation(golden, method, f"{mask}/{mode}", batch, classes)
        check_training(golden, method, f"{mask}/{mode}", batch, classes)
    golden.listed({})
    return golden


def test_every_weight_stands_where_it_is_named():
    golden = Golden("tcaf")
    method, state = build(golden), golden.under("state/")
    own, names = method.state_dict(), released_names(golden, method)
    for name, value in state.items():
        if name.startswith(tcaf.RELEASED_DEAD):  # the same block under another name
            assert value.equal(state["position_encoder_block." + name.partition(".")[2]])
        else:
            assert value.equal(own.pop(names[name]).reshape(value.shape)), name
    assert own == {}


def test_attention_without_what_the_mask_forbids_is_the_same(monkeypatch):
    monkeypatch.setattr(_cross_attention, "SHORT", 0)
    seen = []
    forward = _cross_attention.Layer.forward
    monkeypatch.setattr(
        _cross_attention.Layer, "forward", lambda self, *given: seen.append(len(given[1])) or forward(self, *given)
    )
    compare()
    assert {*seen} == {1, 3}


def test_the_paper_form_is_another_method():
    golden = Golden("tcaf")
    batch, classes = inputs(golden, "max")
    method = build(golden, form="paper")
    assert method.turns == ("all",)
    with pytest.raises(AssertionError, match="theta_o"):
        check_evaluation(golden, method, "cross_only/max", batch, classes)


def test_the_statistics_turn_moves_batch_norms_and_nothing_else():
    golden = Golden("tcaf")
    batch, classes = inputs(golden, "max")
    method = build(golden)
    assert method.turns == ("all", "statistics")
    assert set(method.parts()) == {"all"}
    before = {name: value.clone() for name, value in method.state_dict().items()}
    assert method(batch, classes, "statistics") == {}
    moved = {name for name, value in method.state_dict().items() if not value.equal(before[name])}
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}
    assert {name.partition(".")[0] for name in moved} == {"encode_audio", "encode_video", "project_clip", "project_text"}


def test_other_weights_are_refused_by_name():
    golden = Golden("tcaf")
    method, state = build(golden), golden.under("state/")
    state["Audio_visual_transformer.layers.2.norm.bias"] = state.pop("cls_token")
    with pytest.raises(AvgzslError, match=r"unknown: Audio_visual_transformer\.layers\.2\.norm\.bias; missing: class_token"):
        method.load_released(state)
