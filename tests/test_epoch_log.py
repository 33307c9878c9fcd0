"""The log of a run: a line an epoch, kept beside the record, and read past what a kill has left of it."""

import json
from pathlib import Path

import pytest

from avgzsl_bench import files, plugins, run, runner
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.hookspecs import hookimpl

QUICK = {"epochs": 2, "batches_per_epoch": 1}


def folder_of(out):
    (path,) = out.rglob("record.json")
    return path.parent


def test_a_run_leaves_what_its_epochs_were_told(tmp_path):
    told = []

    class Listener:
        @hookimpl
        def epoch_finished(self, epoch, logs):
            told.append({"stage": logs["stage"], "epoch": epoch, **logs})
            logs["losses"] = "spoiled by a plugin"

    with plugins.listening(Listener()):
        run("devise", "demo", settings=QUICK, search={"learning_rate": [0.1, 0.2]}, out=tmp_path, device="cpu")
    found = runner.epochs(folder_of(tmp_path))
    assert found == told
    places = [(line["stage"], line["searched"]["learning_rate"], line["epoch"]) for line in found]
    assert places[:4] == [(1, 0.1, 1), (1, 0.2, 1), (1, 0.1, 2), (1, 0.2, 2)]
    assert {stage for stage, _, _ in places[4:]} == {2}
    keys = ["stage", "epoch", "epochs", "searched", "losses", "harmonic_mean", "train_seconds", "evaluate_seconds"]
    assert list(found[0]) == keys
    assert found[0]["losses"].keys() == {"classification"}
    run("devise", "demo", settings=QUICK, search={"learning_rate": [0.1, 0.2]}, out=tmp_path, device="cpu")
    assert runner.epochs(folder_of(tmp_path)) == found, "a run that is complete is only read"


def test_an_epoch_told_twice_counts_once_and_the_later_time(tmp_path):
    line = {"stage": 1, "epoch": 1, "epochs": 2, "searched": {}, "losses": {"a": 1.0}, "harmonic_mean": 0.1}
    others = [line | {"stage": 2}, line | {"searched": {"epochs": 3}}, line | {"epoch": 2}]
    again = line | {"losses": {"a": 0.5}}
    lines = [json.dumps(one) for one in (line, *others, again)]
    (tmp_path / runner.EPOCHS).write_text("\n".join([*lines, '{"note": "of another kind"}', lines[0][:20]]))
    assert runner.epochs(tmp_path) == [again, *others]


def test_without_a_log_there_are_no_epochs(tmp_path):
    assert runner.epochs(tmp_path) == []


def test_a_run_that_starts_again_starts_its_log_again(tmp_path):
    run("devise", "demo", settings=QUICK, out=tmp_path, device="cpu")
    folder = folder_of(tmp_path)
    for name in ("record.json", "selection.json"):
        (folder / name).unlink()
    with files.appending(folder / runner.EPOCHS) as append:
        append(runner.epochs(folder)[0] | {"epoch": 9, "losses": {"another": 1.0}})
    run("devise", "demo", settings=QUICK, out=tmp_path, device="cpu")
    assert [line["epoch"] for line in runner.epochs(folder) if line["stage"] == 1] == [1, 2]


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(AvgzslError, match=r"could not write .*log.jsonl: Is a directory; choose another place"):
        files.appending(tmp_path / "log.jsonl").__enter__()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full stands for a full disk")
def test_a_full_disk_is_one_line():
    with (
        files.appending(Path("/dev/full")) as append,
        pytest.raises(AvgzslError, match="could not write /dev/full: No space left on device; make room there"),
    ):
        append({"epoch": 1})
