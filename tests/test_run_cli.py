"""`avgzsl run` as a user types it: what it prints, what it leaves, what it refuses."""

import json
import os
import pty
import resource
import subprocess
import sys
import termios

import pytest
from tables import write

from avgzsl_bench.launchers import _turns

QUICK = ["run", "--method", "devise", "--dataset", "demo", "--set", "epochs=2", "--set", "batches_per_epoch=3", "--device", "cpu"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


def test_the_last_lines_are_the_row_and_the_record(avgzsl, out):
    code, text, progress = avgzsl(*QUICK, "--seeds", 2, "--out", out)
    assert code == 0
    assert progress.startswith("2 runs: 0 done, 2 to do\n")
    assert progress.count("stage 1, epoch") == 4, "one line an epoch where there is no terminal"
    assert "\x1b" not in progress + text
    lines = text.strip().splitlines()
    records = sorted(out.rglob("record.json"))
    assert sorted(lines[-2:]) == sorted(f"record: {path}" for path in records)
    row = "\n".join(lines[:-2])
    assert "SYNTHETIC" in row
    means = [100 * sum(json.loads(path.read_text())["metrics"]["harmonic_mean"] for path in records) / 2]
    assert f"{means[0]:.2f}" in row
    assert "±" in row


def test_a_second_call_does_only_what_is_missing(avgzsl, out):
    avgzsl(*QUICK, "--out", out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    code, text, progress = avgzsl(*QUICK, "--out", out)
    assert code == 0
    assert progress == "1 run: 1 done, 0 to do\n"
    assert "record: " in text
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    _, _, progress = avgzsl(*QUICK, "--seeds", 2, "--out", out)
    assert progress.startswith("2 runs: 1 done, 1 to do\n")
    assert "seed 0" not in progress


def test_dry_run_writes_nothing(avgzsl, out):
    code, text, _ = avgzsl(*QUICK, "--seeds", 3, "--dry-run", "--out", out)
    assert code == 0
    assert text.count("to do") == 3
    assert "epochs=2" in text
    assert not out.exists()
    code, text, _ = avgzsl(*QUICK, "--dry-run", "--json", "--out", out)
    assert json.loads(text)[0]["done"] is False


def test_dry_run_shows_losses_encoder_settings_and_searches(avgzsl, out):
    arguments = [
        "run",
        "-m",
        "kda",
        "-d",
        "demo",
        "--set",
        "loss=cross_entropy",
        "--set",
        "encoder.dim=64",
        "--dry-run",
        "--out",
        out,
    ]
    _, text, _ = avgzsl(*arguments, "--search", "alignment_weight=1,10")
    assert "classification_loss=cross_entropy" in text
    assert "encoder.dim=64" in text
    assert "alignment_weight=1.0; alignment_weight=10.0" in text
    assert "{" not in text


def test_json_is_the_records(avgzsl, out):
    code, text, _ = avgzsl(*QUICK, "--json", "--out", out)
    assert code == 0
    assert json.loads(text) == [json.loads(next(out.rglob("record.json")).read_text())]


def test_several_methods_are_several_jobs(avgzsl, out):
    code, _, progress = avgzsl("run", "-m", "eszsl", "-m", "chance", "-d", "demo", "--seeds", 2, "--out", out)
    assert code == 0
    assert progress.startswith("3 runs:"), "eszsl is the same for every seed"
    assert len(list(out.rglob("record.json"))) == 3


def test_a_table_of_ones_own_runs(avgzsl, out, tmp_path):
    write(tmp_path / "table", name="mine")
    code, text, _ = avgzsl("run", "-m", "eszsl", "-d", "mine", "-e", "hashed", "--out", out)
    assert code == 0
    assert "SYNTHETIC" not in text, "one's own data are not called synthetic"


def test_the_record_has_the_agreed_shape(avgzsl, out):
    avgzsl(*QUICK, "--out", out)
    record = json.loads(next(out.rglob("record.json")).read_text())
    for key in ("schema", "run_id", "setting_id", "status", "source", "created", "identity", "settings", "recipe", "selection"):
        assert key in record
    assert record["status"] == "complete"
    assert record["identity"]["synthetic"] is True
    wanted = {"protocol", "protocol_version", "rules", "dataset_revision", "split", "features", "temporal", "features_sha256"}
    wanted |= {
        "method_version",
        "form",
        "loss_versions",
        "encoder_revision",
        "text",
        "text_sha256",
        "text_normalise",
        "precision",
    }
    assert wanted <= set(record["identity"])
    assert set(record["selection"]) >= {"split", "criterion", "epoch", "seen_bias", "value", "search"}
    metrics = {"seen", "unseen", "harmonic_mean", "zero_shot", "ausuc", "at_bias_0", "oracle_harmonic_mean"}
    assert metrics <= set(record["metrics"])
    cost = {"train_seconds", "evaluate_seconds", "peak_host_bytes", "peak_device_bytes", "parameters"}
    assert cost <= set(record["cost"])
    assert record["environment"]["packages"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "devis", "-d", "demo"], ["'devis'", "devise"]),
        (["-m", "devise", "-d", "dmo"], ["'dmo'", "demo"]),
        (["-m", "devise", "-d", "demo", "-e", "hash"], ["'hash'", "hashed"]),
        (["-m", "devise", "-d", "demo", "--set", "epoch=3"], ["epoch", "epochs"]),
        (["-m", "devise", "-d", "demo", "--set", "learning_rate=-1"], ["learning_rate='-1'", "greater than 0"]),
        (["-m", "devise", "-d", "demo", "--rules", "corrected", "--set", "rules=reference"], ["--rules"]),
        (["-m", "devise", "-d", "demo", "--set", "epochs=3", "--set", "epochs=4"], ["epochs", "twice"]),
        (["-m", "devise", "-d", "demo", "--set", "epochs"], ["key=value"]),
        (["-m", "devise", "-d", "demo", "--search", "learning_rate="], ["learning_rate"]),
        (["-m", "devise", "-d", "demo", "--rules", "reference"], ["hashed", "word2vec"]),
        (["-m", "devise", "-d", "demo", "--selection", "test"], ["--rules reference"]),
        (["-m", "devise", "-d", "demo", "--device", "cuda:99"], ["'cuda:99'", "avgzsl doctor"]),
        (["-m", "devise", "-d", "demo", "--device", "toaster"], ["'toaster'"]),
        (["-m", "devise", "-d", "demo", "--seeds", "0"], ["--seeds"]),
        (["-m", "devise", "-d", "demo", "--features", "temporal"], ["unknown feature set 'temporal'", "avgzsl show demo"]),
        (["-m", "devise", "-d", "demo", "--set", "seed=3"], ["--seeds"]),
        (["-m", "devise", "-d", "demo", "--device", "meta"], ["'meta'", "avgzsl doctor"]),
        (["-m", "devise", "-d", "demo", "--search", "encoder.dim=64,128"], ["encoder.dim", "--set"]),
        (["-m", "devise", "-d", "demo", "--search", "text_normalise=unit,raw"], ["text_normalise", "--set"]),
        (["-m", "devise", "-d", "demo", "--search", "epochs=2,2"], ["epochs", "twice"]),
        (
            ["-m", "kda", "-d", "demo", "--set", "form=reference", "--set", "dropout_decoder=0.4"],
            ["reference form", "dropout_decoder"],
        ),
        (["-m", "devise", "-d", "ucf"], ["avgzsl data import ucf"]),
        (["-m", "tcaf", "-d", "ucf", "--features", "cls"], ["avgzsl data import ucf", "--features cls --temporal"]),
        (["-m", "tcaf", "-d", "demo", "--features", "shared"], ["tcaf needs temporal features", "averaged only", "mapped"]),
        (["-m", "tcaf", "-d", "demo", "--set", "training_video_tokens=3"], ["error: tcaf: give both training_audio_tokens"]),
        (["-m", "kda", "-d", "demo", "--set", "loss=triplet"], ["triplet", "kda"]),
        (["-m", "raw_similarity", "-d", "demo"], ["space"]),
        (["-d", "demo"], ["--method"]),
        (["-m", "devise", "-d", "demo", "--frobnicate"], ["--frobnicate"]),
    ],
)
def test_bad_input_is_one_line(avgzsl, out, arguments, words):
    code, text, error = avgzsl("run", *arguments, "--out", out)
    assert (code, text) == (2, "")
    line = error.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert all(word in line for word in words), line
    assert not list(out.rglob("record.json"))


def test_a_file_where_the_folder_should_be(avgzsl, out):
    out.write_text("mine")
    code, _, error = avgzsl(*QUICK, "--out", out)
    assert code == 2
    assert str(out) in error.splitlines()[-1]
    assert out.read_text() == "mine"


def test_a_write_that_fails_half_way_leaves_no_record_and_the_next_call_goes_on(avgzsl, out):
    """A file-size limit (RLIMIT_FSIZE) too small for the weights stands for a full disk."""
    command = [sys.executable, "-m", "avgzsl_bench", *QUICK, "--out", str(out)]
    code = (
        f"import resource, os; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); os.execv({command[0]!r}, {command!r})"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: could not write")
    assert "Traceback" not in done.stderr
    assert {path.name for path in out.rglob("*") if path.is_file()} <= {"failure.json", "log.jsonl"}
    code, _, _ = avgzsl(*QUICK, "--out", out)
    assert code == 0
    assert not list(out.rglob("failure.json"))


@pytest.mark.disable_socket
def test_run_opens_no_socket(avgzsl, out):
    import socket

    with pytest.raises(Exception, match="socket"):
        socket.socket()
    code, _, _ = avgzsl(*QUICK, "--out", out)
    assert code == 0


def test_a_run_under_way_is_waited_for_and_taken_up_when_its_process_is_gone(avgzsl, out, monkeypatch, caplog):
    avgzsl(*QUICK, "--out", out)
    folder = next(out.iterdir())
    (folder / "record.json").unlink()
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (folder / "claim.json").write_text(json.dumps({"pid": other.pid, "host": os.uname().nodename}))
    monkeypatch.setattr(_turns, "sleep", lambda seconds: other.communicate(b"\n"))
    code, text, error = avgzsl(*QUICK, "--out", out)
    assert code == 0
    said = f"1 run is being made by another process (pid {other.pid} on {os.uname().nodename}); waiting for it"
    assert [line.getMessage() for line in caplog.records].count(said) == 1
    assert error.splitlines()[-1].startswith("[1/1] devise on demo, hashed, seed 0: HM ")
    assert f"record: {folder / 'record.json'}" in text
    assert not (folder / "claim.json").exists()


def test_a_failed_run_does_not_stop_the_others(avgzsl, out):
    arguments = ["run", "-m", "devise", "-d", "demo", "--seeds", 2, "--set", "learning_rate=1e37", "--set", "epochs=1"]
    code, _, error = avgzsl(*arguments, "--out", out)
    assert code == 2
    assert "[2/2]" in error
    assert error.strip().splitlines()[-1].startswith("error: loss")
    assert len(list(out.rglob("failure.json"))) == 2


def test_damaged_intermediate_files_are_one_line(avgzsl, out):
    avgzsl(*QUICK, "--out", out)
    folder = next(out.iterdir())
    (folder / "record.json").unlink()
    for name in ("selection.json", "checkpoint.pt"):
        (folder / name).write_text("{")
        code, _, error = avgzsl(*QUICK, "--out", out)
        assert code == 2
        assert str(folder / name) in error.splitlines()[-1]
        (folder / name).unlink()
    (folder / "claim.json").write_text("[]")
    os.utime(folder / "claim.json", (0, 0))
    assert avgzsl(*QUICK, "--out", out)[0] == 0


def test_bars_on_a_terminal(out):
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (40, 130))
    command = [sys.executable, "-m", "avgzsl_bench", *QUICK, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=child, env={**os.environ, "TERM": "xterm-256color"})
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    process.communicate()
    assert process.returncode == 0
    text = shown.decode()
    assert "stage 1" in text
    assert "validation HM" in text
    assert "━" in text, "a bar"
    assert "epoch 1/2" not in text, "no line an epoch beside the bars"
