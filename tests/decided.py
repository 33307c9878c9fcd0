"""Records with made-up decisions, from which their numbers follow; they measure nothing."""

import numpy as np
from safetensors.numpy import save_file

from avgzsl_bench import calibration, metrics, records
from avgzsl_bench.files import sha256

IDENTITY = {
    "protocol": "gzsl", "protocol_version": 1, "rules": "corrected", "selection": "validation", "dataset": "ucf",
    "dataset_revision": "1", "split": "main", "features": "selavi", "temporal": False, "features_sha256": "0" * 64,
    "synthetic": True, "method": "kda", "method_version": 1, "form": "paper", "loss_versions": {}, "encoder": "clip",
    "encoder_revision": "r", "encoder_settings": {}, "text": "names@1", "text_sha256": "1" * 64, "text_normalise": "unit",
    "combine": "mean", "precision": "float32",
}  # fmt: skip
SETTINGS = {"combine": "mean", "text_normalise": "unit", "epochs": 5}


def decide(seed=0, skill=0.6, seen=4, unseen=3, clips=10):
    """Decisions on `clips` clips of each class, right with about a probability of `skill`; seen and unseen classes alternate."""
    rng = np.random.default_rng([seed, int(1000 * skill)])
    ids = np.arange(seen + unseen)
    of_unseen = ids[:: (seen + unseen) // unseen][:unseen]
    of_seen = np.setdiff1d(ids, of_unseen)
    label = np.repeat(ids, clips)
    best = {}
    for name, candidates in (("seen", of_seen), ("unseen", of_unseen)):
        own = np.isin(label, candidates)
        right = own & (rng.random(len(label)) < skill)
        best[f"{name}_class"] = np.where(right, label, rng.choice(candidates, len(label))).astype(np.int16)
        best[f"{name}_score"] = (rng.standard_normal(len(label)) + skill * own).astype(np.float32)
    decisions = metrics.Decisions(label=label.astype(np.int16), **best)
    return decisions, of_seen, of_unseen


def record(folder, seed=0, skill=0.6, bias=0.4, sizes=None, names=None, settings=None, selection=None, **changes):
    """Write a record with decisions under a folder and read it; `changes` go to the identity, or to the top level."""
    decisions, seen, unseen = decide(seed, skill, **(sizes or {}))
    identity, chosen = IDENTITY | {"seed": seed} | changes, SETTINGS | (settings or {})
    run_id, setting_id = records.ids(identity, chosen, [])
    counts = metrics.per_class(decisions, bias, seen, unseen, "corrected")
    sweep = calibration.sweep(decisions, seen, unseen)
    found = {
        "schema": 1, "run_id": run_id, "setting_id": setting_id, "status": "complete", "source": "measured",
        "created": "2026-01-01T00:00:00+00:00", "identity": identity, "settings": chosen, "recipe": "default",
        "selection": {"split": "validation", "criterion": "harmonic_mean", "epoch": 3, "seen_bias": bias, "value": 0.5,
                      "learning_rate_drops": [], "search": None} | (selection or {}),
        "metrics": {
            **metrics.at_bias(decisions, bias, seen, unseen, "corrected")._asdict(),
            "zero_shot": metrics.zero_shot(decisions, unseen),
            "ausuc": calibration.ausuc(sweep),
            "at_bias_0": metrics.at_bias(decisions, 0.0, seen, unseen, "corrected")._asdict(),
            "oracle_harmonic_mean": calibration.oracle(sweep),
        },
        "per_class": {
            "name": [names[i] if names else f"class_{i}" for i in counts.id],
            "unseen": [bool(i in unseen) for i in counts.id],
            **{key: getattr(counts, key).tolist() for key in ("clips", "correct", "correct_zero_shot")},
        },
        "cost": {}, "environment": {},
    }  # fmt: skip
    place = records.place(folder, identity, run_id)
    place.mkdir(parents=True)
    save_file({key: column for key, column in decisions._asdict().items() if column is not None}, place / "decisions.safetensors")
    found["decisions"] = {"path": "decisions.safetensors", "sha256": sha256(place / "decisions.safetensors")}
    records.write(place / "record.json", found)
    return records.read(place / "record.json")
