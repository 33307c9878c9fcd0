"""What a run is computed in: named, recorded, shown, and undone afterwards."""

import json

import pytest
import torch
from safetensors.torch import load_file

from avgzsl_bench import board, config, evaluate, plugins, records, run, runner
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.methods.devise import MEMBER as DEVISE

QUICK = {"epochs": 2, "batches_per_epoch": 4, "batch_size": 16}


def one(out, method="devise", **choices):
    return run(method, "demo", settings=QUICK, out=out, device="cpu", **choices)[0]


def test_an_unknown_precision_is_one_line(avgzsl, tmp_path):
    code, _, err = avgzsl("run", "-m", "devise", "-d", "demo", "--precision", "float16", "--out", tmp_path)
    assert code == 2
    assert err.splitlines()[-1] == "error: --precision 'float16'; choose float32, float64, tf32, bf16"


def test_tf32_without_its_gpu_is_refused_before_anything_is_written(avgzsl, tmp_path):
    code, _, err = avgzsl(
        "run", "-m", "devise", "-d", "demo", "--precision", "tf32", "--device", "cpu", "--out", tmp_path / "runs"
    )
    assert code == 2
    assert "--precision tf32 is of NVIDIA GPUs" in err.splitlines()[-1]
    assert not list(tmp_path.rglob("*.json"))


class Probe(DEVISE):
    """Tells in what its products are computed."""

    seen: set = set()  # noqa: RUF012

    def _clips(self, batch):
        clips = super()._clips(batch)
        self.seen.add((self.training, batch.audio.dtype, clips.dtype))
        return clips


PLACES = {  # in training and in scoring
    "float32": {(True, torch.float32, torch.float32), (False, torch.float32, torch.float32)},
    "float64": {(True, torch.float64, torch.float64), (False, torch.float64, torch.float64)},
    "bf16": {(True, torch.float32, torch.bfloat16), (False, torch.float32, torch.float32)},
}


@pytest.mark.parametrize("precision", PLACES)
def test_what_is_computed_in_what(precision, tmp_path, monkeypatch):
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda kind, name: Probe if (kind, name) == ("methods", "devise") else load(kind, name))
    Probe.seen.clear()
    record = one(tmp_path, precision=precision)
    assert Probe.seen == PLACES[precision]
    assert record["identity"]["precision"] == precision
    weights = load_file(next(tmp_path.rglob("model.safetensors")))
    assert {part.dtype for part in weights.values()} == {torch.float64 if precision == "float64" else torch.float32}


@pytest.mark.parametrize("precision", ["float64", "bf16"])
def test_weights_of_a_precision_are_scored_in_it(precision, tmp_path):
    old = one(tmp_path / "runs", precision=precision)
    new = evaluate(checkpoint=next((tmp_path / "runs").rglob("model.safetensors")), out=tmp_path / "again", device="cpu")
    assert new["metrics"] == old["metrics"]
    assert new["identity"]["precision"] == precision


def test_another_precision_is_another_row_that_says_so(avgzsl, tmp_path):
    for precision in ("float32", "bf16"):
        one(tmp_path, precision=precision)
    found = [records.read(path) for path in tmp_path.rglob("record.json")]
    assert len({record["setting_id"] for record in found}) == 2
    shown = board.rows(found)
    assert "precision=bf16" in shown
    (alone,) = (record for record in found if record["identity"]["precision"] == "bf16")
    assert "precision=bf16" in board.rows([alone]), "also where no sibling differs"
    (plain,) = (record for record in found if record["identity"]["precision"] == "float32")
    assert "precision" not in board.rows([plain])
    code, out, _ = avgzsl("run", "-m", "devise", "-d", "demo", "--precision", "bf16", "--dry-run", "--out", tmp_path / "dry")
    assert code == 0
    assert "precision=bf16" in out


def test_compare_and_submit_know_precisions(avgzsl, tmp_path):
    ids = [one(tmp_path, precision=precision)["setting_id"] for precision in ("float32", "bf16")]
    code, out, err = avgzsl("compare", *ids, "--records", tmp_path)
    assert code == 0, err
    assert "Computed otherwise: precision float32 (A) and bf16 (B)." in out
    said = [line for line in out.splitlines() if "precision bf16 ·" in line]
    assert len(said) == 1
    _, out, _ = avgzsl("submit", "check", tmp_path, "--json")
    found = json.loads(out)
    assert len(found) == 2
    faults = [fault for verdict in found for fault in verdict["faults"]]
    assert all(fault.startswith("environment.code.") for fault in faults), "at most that the code is not committed"


def test_status_finds_runs_of_a_precision(avgzsl, tmp_path):
    one(tmp_path, precision="bf16")
    sets = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]
    asked = ("status", "-m", "devise", "-d", "demo", *sets, "--out", tmp_path, "--json")
    _, plain, _ = avgzsl(*asked)
    _, own, _ = avgzsl(*asked, "--precision", "bf16")
    assert "avgzsl run" in plain
    assert "--precision" not in plain
    assert "avgzsl run" not in own
    _, lacking, _ = avgzsl(*asked, "--precision", "bf16", "--seeds", 2)
    assert "--precision bf16" in lacking, "the command that makes what is missing names it, too"


def test_float64_changes_little(tmp_path):
    values = [one(tmp_path, precision=precision)["metrics"]["zero_shot"] for precision in ("float32", "float64")]
    assert values[0] == pytest.approx(values[1], abs=0.02)


def test_deterministic_algorithms_are_recorded_and_undone(tmp_path):
    job = config.resolve("devise", "demo", settings=QUICK)
    digests = []
    for out in ("a", "b"):
        (state,) = runner.run_job(job, runner.Options(tmp_path / out, "cpu", deterministic=True))
        record = json.loads(state.record.read_text())
        assert record["environment"]["flags"]["deterministic_algorithms"] is True
        digests.append(record["decisions"]["sha256"])
    assert digests[0] == digests[1]
    assert not torch.are_deterministic_algorithms_enabled()
    (state,) = runner.run_job(job, runner.Options(tmp_path / "c", "cpu"))
    assert json.loads(state.record.read_text())["environment"]["flags"]["deterministic_algorithms"] is False


def test_a_numbered_cpu_is_a_cpu(tmp_path):
    (record,) = run("devise", "demo", settings=QUICK, out=tmp_path, device="cpu:0")
    assert record["environment"]["device"]["type"] == "cpu"


def test_the_python_api_refuses_it_too():
    with pytest.raises(AvgzslError, match="precision"):
        run("devise", "demo", precision="half")
