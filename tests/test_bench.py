"""`avgzsl bench`: what it measures is there, named and labelled; how fast it is, is nothing for a test."""

import json

import pytest
import torch

from avgzsl_bench import benchmarking
from avgzsl_bench.layers import Dropout
from avgzsl_bench.precision import PRECISIONS

CPU = torch.device("cpu")
WAYS = ["plain eager", "bare steps", "loop", "stacked"]
SMALL = {"batch_size": 8}


def measured(method="devise", dataset="demo", **choices):
    given = {"rounds": 2, "steps": 2, "runs": 3, "settings": SMALL, **choices}
    return benchmarking.measure(method, dataset, device=CPU, precision=PRECISIONS["float32"], **given)


@pytest.mark.parametrize("method", ["avca", "f_vaegan_d2", "tcaf"])
def test_every_way_takes_its_turn(method):
    found = measured(method)
    assert [lane.name for lane in found.lanes] == WAYS
    assert [lane.runs for lane in found.lanes] == [1, 1, 1, 3]
    assert all(len(lane.milliseconds) == len(lane.ratios) == 2 for lane in found.lanes), "without the round that warms up"
    assert set(found.lanes[0].ratios) == {1.0}
    assert min(lane.peak_bytes for lane in found.lanes) > 0
    assert found.batch_size == 8
    assert found.parameters > 0
    assert found.as_dict()["synthetic"] is True


def test_one_run_is_not_stacked():
    assert [lane.name for lane in measured(runs=1).lanes] == WAYS[:3]


@pytest.mark.parametrize(("seconds", "steps"), [(60.0, 6), (1e-9, 4)])
def test_a_round_fills_its_time_but_is_an_epoch_at_most(seconds, steps, monkeypatch):
    monkeypatch.setattr(benchmarking, "ROUND", seconds)
    assert measured(steps=None, rounds=1, settings={**SMALL, "batches_per_epoch": 6}).steps == steps


def test_the_plain_module_has_torchs_own_parts(monkeypatch):
    made, adam = [], torch.optim.Adam

    def watched(*given, **named):
        made.append(named)
        return adam(*given, **named)

    monkeypatch.setattr(torch.optim, "Adam", watched)
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(Dropout(0.25)))
    benchmarking._use_torch_dropout(module)
    assert isinstance(module[1][0], torch.nn.Dropout)
    assert module[1][0].p == 0.25
    measured("avca", rounds=1, steps=1, runs=1)
    assert sum("fused" not in named for named in made) == 1, "one plain optimiser, with torch's default implementation"
    assert any(named.get("fused") for named in made)


def test_the_table_and_the_file(avgzsl, tmp_path):
    common = ("-m", "devise", "-d", "ucf", "--rounds", 1, "--steps", 1, "--seeds", 2, "--set", "batch_size=8")
    code, out, err = avgzsl("bench", *common, "--out", tmp_path / "bench.json", "--device", "cpu")
    assert code == 0, err
    assert "3,174 SYNTHETIC clips of the sizes of ucf (selavi)" in out
    assert all(way.split()[0] in out for way in WAYS)
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["synthetic"] is True
    assert found["environment"]["device"]["type"] == "cpu"
    assert [lane["name"] for lane in found["lanes"]] == WAYS


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("-m", "eszsl", "-d", "ucf"), "eszsl trains nothing"),
        (("-m", "devis", "-d", "ucf"), "devise"),
        (("-m", "devise", "-d", "ucff"), "ucf"),
        (("-m", "devise", "-d", "ucf", "--features", "mian"), "main"),
        (("-m", "devise", "-d", "ucf", "--device", "cuda:77"), "device 'cuda:77' is not to be had here"),
        (("-m", "devise", "-d", "ucf", "--precision", "tf32", "--device", "cpu"), "tf32"),
    ],
)
def test_what_cannot_be_measured_is_one_line(avgzsl, given, said):
    code, out, err = avgzsl("bench", *given)
    assert code == 2
    assert said in err.splitlines()[-1]
    assert not out
