"""The Slurm launcher on a real Slurm: a grid, requeues, refusals, and what is left when nobody watches."""

import json
import os
import signal
import subprocess
import sys
from itertools import chain

import pytest
import slurm_cluster
from slurm_cluster import said, until
from witness import Witness

from avgzsl_bench import config, identity
from avgzsl_bench.launchers import slurm
from avgzsl_bench.testing import kit
from avgzsl_bench.testing import launchers as conformance

here = pytest.mark.skipif(bool(slurm_cluster.lacking()), reason=slurm_cluster.lacking())
SHORT = ["--set", "epochs=3", "--set", "batches_per_epoch=2"]


@pytest.fixture(scope="module")
def configuration(tmp_path_factory):
    with slurm_cluster.cluster(tmp_path_factory.mktemp("slurm")) as path:
        yield path


@pytest.fixture
def on_slurm(configuration, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(configuration))


@pytest.fixture
def witness(tmp_path):
    return Witness(tmp_path)


@pytest.fixture
def started(on_slurm, witness, tmp_path):
    """Starts `avgzsl run --launcher slurm` beside this process, in a folder where its store is `runs`."""
    running = []

    def start(*words):
        line = [sys.executable, "-m", "avgzsl_bench", "run", *map(str, words), "--launcher", "slurm", "--out", "runs"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(line, cwd=tmp_path, env=witness.environment, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()
    said("scancel", "--me")


def records(folder):
    return [json.loads(path.read_text()) for path in (folder / "runs").rglob("record.json")]


@here
def test_a_grid_is_made_by_a_job_array(started, witness, tmp_path):
    process = started("-m", "constant", "-m", "eszsl", "-m", "devise", "-d", "demo", "--seeds", 2, "--jobs", 2)
    text, error = process.communicate()
    assert process.returncode == 0, error
    lines = error.splitlines()
    assert lines[0] == "4 runs: 0 done, 4 to do"
    assert lines[1].startswith("submitted to Slurm as job ")
    assert lines[1].endswith(", in 2 tasks")
    assert [line.split("]")[0] for line in lines[2:]] == [f"[{number}/4" for number in range(1, 5)]
    assert text.count("record: runs/") == len(records(tmp_path)) == 4
    assert set(witness.starts().values()) == {1}
    assert len({process for *_, process in witness.lines()}) == 2, "a task takes several jobs"
    assert not list(tmp_path.rglob("claim.json"))


@here
def test_tasks_that_are_queued_again_go_on_where_they_were(started, witness, tmp_path):
    """One by `scontrol requeue`, as an operator or a failed node does, one by the signal that comes before a time limit."""
    witness.at_epochs("hold-all")
    process = started("-m", "devise", "-m", "sje", "-d", "demo", *SHORT, "--jobs", 2)
    until(lambda: sum(line[0] == "epoch1.1" for line in witness.lines()) == 2)
    first, second = sorted(said("squeue", "--me", "--array", "--noheader", "--format=%i").split())
    subprocess.run(["scontrol", "requeue", first], check=True)
    subprocess.run(["scancel", "--signal=USR2", second], check=True)
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert len(records(tmp_path)) == 2
    assert witness.starts() == {"devise 0": 2, "sje 0": 2}
    makers = {line[3] for line in witness.lines() if line[0] == "started"}
    assert len(makers) == 4, "by other processes"
    for name in ("devise", "sje"):
        epochs = [event for event, method, *_ in witness.lines() if method == name and event.startswith("epoch1")]
        assert epochs[0] == "epoch1.1"
        assert epochs[-2:] == ["epoch1.2", "epoch1.3"]
    assert not list(chain(tmp_path.rglob("claim.json"), tmp_path.rglob("failure.json")))


@here
def test_a_task_that_is_cancelled_stops_no_other(started, witness, tmp_path):
    witness.at_epochs("hold sje 0 1")
    process = started("-m", "sje", "-m", "devise", "-d", "demo", *SHORT, "--jobs", 2)
    until(lambda: ["epoch1.1", "sje"] in [line[:2] for line in witness.lines()])
    (task,) = [task for task in said("squeue", "--me", "--array", "--noheader", "--format=%i").split() if task.endswith("_0")]
    subprocess.run(["scancel", task], check=True)
    _, error = process.communicate()
    assert process.returncode == 2
    log = tmp_path / "runs" / slurm.FOLDER / f"{task}_0_log.err"
    assert error.splitlines()[-1] == f"error: sje, seed 0: Slurm task {task} ended without it; see {log}"
    assert "CANCELLED" in log.read_text()
    assert [record["identity"]["method"] for record in records(tmp_path)] == ["devise"]


@here
def test_a_failed_run_stops_no_other(on_slurm):
    conformance.a_failed_run_stops_no_other(config.launcher("slurm", 2))


@here
def test_ctrl_c_leaves_the_jobs_alone_and_says_how_to_cancel_them(started, witness, tmp_path):
    process = started("-m", "eszsl", "-d", "demo")
    line = process.stderr.readline() + process.stderr.readline()
    number = line.split("as job ")[1].split(",")[0]
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert f"Slurm job {number} goes on; `scancel {number}` cancels it" in error
    until(lambda: records(tmp_path))
    assert witness.starts() == {"eszsl 0": 1}


@here
def test_a_slurm_that_refuses_is_one_line(on_slurm, avgzsl, tmp_path):
    words = ["run", "-m", "constant", "-d", "demo", "--launcher", "slurm", "--out", tmp_path / "runs"]
    code, _, error = avgzsl(*words, "--launch", "partition=nowhere")
    assert code == 2
    said = "error: Slurm refuses the jobs: Batch job submission failed: Invalid partition name specified; see"
    assert error.splitlines()[-1].startswith(said)
    assert error.count("\n") == 2, "beside what was to do"
    assert not list(tmp_path.rglob("record.json"))


@here
def test_a_store_that_takes_no_jobs_is_one_line(on_slurm, avgzsl, tmp_path):
    (tmp_path / slurm.FOLDER).write_text("mine")
    code, _, error = avgzsl("run", "-m", "constant", "-d", "demo", "--launcher", "slurm", "--out", tmp_path)
    assert code == 2
    assert error.splitlines()[-1].startswith(f"error: could not write {tmp_path / slurm.FOLDER}: ")


@here
def test_what_is_done_is_not_submitted(on_slurm, avgzsl, tmp_path, monkeypatch):
    words = ["run", "-m", "constant", "-d", "demo", "--out", tmp_path / "runs"]
    avgzsl(*words)
    monkeypatch.setattr(slurm.Slurm, "_submit", lambda *_: pytest.fail("submitted"))
    code, _, progress = avgzsl(*words, "--launcher", "slurm")
    assert (code, progress) == (0, "1 run: 1 done, 0 to do\n")


# without a Slurm


def test_no_slurm_is_one_line(refused, monkeypatch):
    monkeypatch.setenv("PATH", "")
    said = "there is no Slurm here: sbatch, srun, squeue not found; submit from a machine that has them"
    assert said in refused("run", "-m", "constant", "-d", "demo", "--launcher", "slurm")


def test_the_missing_extra_is_named(refused, monkeypatch):
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    said = "the launcher slurm needs the extra `slurm`: pip install 'avgzsl-bench[slurm]'"
    assert said in refused("run", "-m", "constant", "-d", "demo", "--launcher", "slurm")


def test_the_kit_asks_what_it_can_without_a_slurm(monkeypatch):
    monkeypatch.setenv("PATH", "")
    results = [kit.result_of(check) for check in kit.checks_of("slurm", "launchers")]
    assert {result.outcome for result in results} == {"pass", "skipped"}
    assert {result.reason for result in results if result.outcome == "skipped"} == {
        "cannot launch here: there is no Slurm here: sbatch, srun, squeue not found; submit from a machine that has them"
    }


def test_a_queue_that_does_not_answer_says_nothing(monkeypatch):
    monkeypatch.setenv("PATH", os.devnull)
    assert slurm._queued() is None


def test_every_setting_reaches_sbatch(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat $1 > {tmp_path}/asked\necho Submitted batch job 7\n")
    program.chmod(0o755)
    (tmp_path / "bin" / "srun").symlink_to(program)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    given = {"partition": "long", "account": "lab", "qos": "low", "minutes": 90, "cpus": 4, "gpus": 1, "memory_gb": 1.5}
    launcher = config.launcher("slurm", 2, {**given, "requeues": 5})
    piles = [[identity.plan(config.resolve(name, "demo"), tmp_path)] for name in ("constant", "eszsl")]
    options = slurm.Options(tmp_path / "runs", "cpu")
    assert [task.job_id for task in launcher._submit(piles, options)] == ["7_0", "7_1"]
    asked = (tmp_path / "asked").read_text()
    for flag in ("partition=long", "account=lab", "qos=low", "time=90", "cpus-per-task=4", "gpus-per-node=1", "mem=1536MB"):
        assert f"#SBATCH --{flag}\n" in asked
    for flag in ("requeue", "signal=USR2@90", "array=0-1%2"):
        assert f"#SBATCH --{flag}\n" in asked
