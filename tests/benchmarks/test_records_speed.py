"""What reading a large store of records costs: 3,000 runs of VGGSound size, each checked against its decisions."""

import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from avgzsl_bench import calibration, metrics, records
from avgzsl_bench.files import sha256

RECORDS = 3000
SEEN, UNSEEN, SEEN_CLIPS, UNSEEN_CLIPS = 207, 69, 9032, 3450
WANTED = 2.0  # seconds
METHODS = ("avca", "kda", "tcaf", "devise", "sje", "ale", "apn", "cjme", "avgzslnet", "clipclap")
SETTINGS = {
    "epochs": 50,
    "batches_per_epoch": 50,
    "batch_size": 2048,
    "learning_rate": 0.001,
    "weight_decay": 0.0,
    "form": "paper",
}


def write_store(folder: Path, count: int = RECORDS) -> Path:
    """Synthetic records, ten seeds to a setting: random decisions, and the numbers that follow from them."""
    rng = np.random.default_rng(0)
    ids = rng.permutation(SEEN + UNSEEN)
    seen, unseen = np.sort(ids[:SEEN]), np.sort(ids[SEEN:])
    label = np.concatenate([np.sort(np.resize(seen, SEEN_CLIPS)), np.sort(np.resize(unseen, UNSEEN_CLIPS))]).astype(np.int16)
    for number in range(count):
        _write(folder, number, _decisions(rng, label, seen, unseen), seen, unseen)
    return folder


def _decisions(rng: np.random.Generator, label: Any, seen: Any, unseen: Any) -> metrics.Decisions:
    clips, is_seen = len(label), np.isin(label, seen)
    right = rng.random(clips) < 0.3
    video = (np.arange(clips) // 2).astype(np.int32)
    return metrics.Decisions(
        label,
        np.where(right & is_seen, label, rng.choice(seen, clips)).astype(np.int16),
        rng.standard_normal(clips).astype(np.float32),
        np.where(right & ~is_seen, label, rng.choice(unseen, clips)).astype(np.int16),
        rng.standard_normal(clips).astype(np.float32),
        video,
        is_seen & (video % 30 == 0),
    )


def _write(folder: Path, number: int, decisions: metrics.Decisions, seen: Any, unseen: Any) -> None:
    setting, seed = divmod(number, 10)
    identity = {
        "protocol": "gzsl",
        "protocol_version": 1,
        "rules": "corrected",
        "selection": "validation",
        "dataset": "vggsound",
        "dataset_revision": "1",
        "split": "main",
        "features": "selavi",
        "temporal": False,
        "features_sha256": "0" * 64,
        "synthetic": True,
        "method": METHODS[setting % len(METHODS)],
        "method_version": 1,
        "form": "paper",
        "loss_versions": {},
        "encoder": "hashed",
        "encoder_revision": "1",
        "encoder_settings": {},
        "text": "names@1",
        "text_sha256": "0" * 64,
        "text_normalise": "unit",
        "combine": "mean",
        "distributions": {},
        "precision": "float32",
        "seed": seed,
    }
    changed = {"batches_per_epoch": 50 + setting // len(METHODS)}
    run_id, setting_id = records.ids(identity, changed, [])
    place = folder / f"{identity['method']}-vggsound-{run_id}"
    place.mkdir(parents=True)
    (place / "decisions.safetensors").write_bytes(save(decisions.columns()))
    counts = metrics.per_class(decisions, 0.1, seen, unseen, "corrected")
    record = {
        "schema": 1,
        "run_id": run_id,
        "setting_id": setting_id,
        "status": "complete",
        "source": "measured",
        "created": "2026-11-22T23:18:52+00:00",
        "identity": identity,
        "settings": SETTINGS | changed,
        "recipe": "default",
        "selection": {
            "split": "validation",
            "criterion": "harmonic_mean",
            "epoch": 17,
            "seen_bias": 0.1,
            "value": 0.2,
            "search": None,
        },
        "metrics": _metrics(decisions, seen, unseen),
        "per_class": {
            "name": [f"class number {i}" for i in counts.id],
            "unseen": np.isin(counts.id, unseen).tolist(),
            **{name: column.tolist() for name, column in counts._asdict().items() if name != "id"},
        },
        "cost": {"train_seconds": 1.0, "evaluate_seconds": 1.0, "parameters": 1, "peak_host_bytes": 1, "peak_device_bytes": 0},
        "environment": {
            "versions": {f"library {i}": "1.0.0" for i in range(20)},
            "note": "made for a benchmark, measures nothing",
        },
        "decisions": {"path": "decisions.safetensors", "sha256": sha256(place / "decisions.safetensors")},
    }
    (place / "record.json").write_text(json.dumps(record, indent=1) + "\n")


def _metrics(decisions: metrics.Decisions, seen: Any, unseen: Any) -> dict[str, Any]:
    curve = calibration.sweep(decisions, seen, unseen)
    without = metrics.unshared(decisions, 0.1, seen, "corrected")
    assert without is not None
    return {
        **metrics.at_bias(decisions, 0.1, seen, unseen, "corrected")._asdict(),
        "zero_shot": metrics.zero_shot(decisions, unseen),
        "ausuc": calibration.ausuc(curve),
        "at_bias_0": metrics.at_bias(decisions, 0.0, seen, unseen, "corrected")._asdict(),
        "oracle_harmonic_mean": calibration.oracle(curve),
        "unshared": without._asdict(),
        "score_scale": {"stage_1": 1.0, "stage_2": calibration.score_scale(decisions)},
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_store(tmp_path_factory.mktemp("records"))
    time.sleep(2.5)  # a file that was only just written is checked at every load
    return folder


def load(store: Path) -> tuple[float, float]:
    """(wall, processor) seconds of loading the whole store."""
    wall, processor = time.perf_counter(), time.process_time()
    assert len(records.load_records(store)) == RECORDS
    return time.perf_counter() - wall, time.process_time() - processor


def test_loading_a_large_store(benchmark, capsys, monkeypatch, store, tmp_path):
    firsts = []
    for number in range(3):
        monkeypatch.setenv("AVGZSL_CACHE", str(tmp_path / str(number)))  # nothing is known to have been checked
        firsts.append(load(store))
    laters = [load(store) for _ in range(5)]
    start = time.process_time()
    for path in store.glob("*/decisions.safetensors"):
        sha256(path)
    hashing = time.process_time() - start
    benchmark.extra_info["first"], benchmark.extra_info["hashing"] = firsts, hashing
    benchmark.pedantic(records.load_records, args=(store,), rounds=1)
    with capsys.disabled():
        print(f"\nload_records of {RECORDS} records of VGGSound size, wall (processor) seconds, wanted {WANTED:g}:")
        for said, found in (("first, all checked", firsts), ("later, unchanged", laters)):
            walls, processors = zip(*sorted(found), strict=True)
            print(f"  {said}: median {median(walls):.2f} ({median(processors):.2f}), {walls[0]:.2f} to {walls[-1]:.2f}")
        print(f"  reading and hashing all decisions alone: ({hashing:.2f})")
