"""Grids of runs: all combinations, workers that may die, launchers beside each other; nothing lost, nothing made twice."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from elsewhere import store_vectors
from slurm_cluster import until
from tables import write
from witness import Witness

import avgzsl_bench
from avgzsl_bench import claims, config, files, identity, plugins, runner
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.hookspecs import hookimpl
from avgzsl_bench.launchers import _pool, _turns
from avgzsl_bench.testing import launchers as conformance

SHORT = ["--set", "epochs=2", "--set", "batches_per_epoch=2", "--device", "cpu"]
COLLIDERS, COLLISIONS = 8, 1000


@pytest.fixture
def out(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def witness(tmp_path):
    return Witness(tmp_path)


def command(*words, out):
    return [sys.executable, "-m", "avgzsl_bench", "run", *map(str, words), "--out", str(out)]


def run(witness, *words, out):
    done = subprocess.run(command(*words, out=out), capture_output=True, text=True, env=witness.environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def lists(method, seeds=1):
    return config.resolve(method, "demo", "hashed", seeds=seeds)


def records(out):
    return [json.loads(path.read_text()) for path in sorted(out.rglob("record.json"))]


# combinations


def test_all_combinations_are_run(avgzsl, out, tmp_path):
    write(tmp_path / "table", name="mine")
    names = ["-m", "eszsl", "-m", "constant", "-m", "eszsl", "-d", "demo", "-d", "mine", "-e", "hashed"]
    code, _, progress = avgzsl("run", *names, "--out", out)
    assert code == 0
    assert progress.startswith("4 runs: 0 done, 4 to do\n")
    made = [(found["identity"]["method"], found["identity"]["dataset"]) for found in records(out)]
    assert sorted(made) == [("constant", "demo"), ("constant", "mine"), ("eszsl", "demo"), ("eszsl", "mine")]


def test_encoders_and_feature_sets_are_combined_too(avgzsl, out):
    store_vectors()
    words = ["run", "-m", "constant", "-d", "demo", "-e", "hashed", "-e", "word2vec", "--dry-run", "--json"]
    code, text, _ = avgzsl(*words, "--features", "mapped", "--features", "shared", "--out", out)
    assert code == 0
    found = [(run["identity"]["encoder"], run["identity"]["features"]) for run in json.loads(text)]
    assert found == [(encoder, features) for encoder in ("hashed", "word2vec") for features in ("mapped", "shared")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "constant", "-m", "tcaf", "-d", "demo", "--features", "shared"], "tcaf on demo, features shared: tcaf needs"),
        (["-m", "eszsl", "-m", "devise", "-d", "demo", "--set", "epochs=1"], "eszsl on demo: eszsl has no setting 'epochs'"),
        (
            ["-m", "eszsl", "-d", "demo", "-d", "ucf", "-e", "hashed"],
            "eszsl on ucf, hashed, features selavi: ucf features selavi",
        ),
        (["-m", "eszsl", "-d", "demo", "-d", "dmo"], "eszsl on dmo: unknown dataset 'dmo'; did you mean demo?"),
        (["-m", "eszsl", "-d", "demo", "--launcher", "locl"], "unknown launcher 'locl'; did you mean local?"),
        (["-m", "eszsl", "-d", "demo", "--launch", "partition=x"], "local has no setting 'partition'"),
        (["-m", "eszsl", "-d", "demo", "--launch", "jobs=2"], "give it as --jobs N"),
        (["-m", "eszsl", "-d", "demo", "--launcher", "slurm", "--launch", "minutes=0"], "slurm: setting minutes='0'"),
        (["-m", "eszsl", "-d", "demo", "--launch", "partition"], "--launch 'partition' is not key=value"),
        (["-m", "eszsl", "-d", "demo", "--jobs", "0"], "--jobs"),
    ],
)
def test_what_cannot_be_run_is_one_line_before_anything_starts(refused, out, words, said):
    assert said in refused("run", *words, "--out", out)
    assert not out.exists()


def test_status_asks_about_the_same_grid(avgzsl, out):
    words = ["-m", "constant", "-d", "demo", "-e", "hashed", "--features", "mapped", "--features", "shared", "--out", out]
    _, text, _ = avgzsl("status", *words, "--json")
    found = json.loads(text)
    assert [cell["features"] for cell in found["cells"]] == ["mapped", "shared"]
    assert found["commands"] == [
        f"avgzsl run -m constant -d demo -e hashed --features {name} --out {out}" for name in ("mapped", "shared")
    ]
    for line in found["commands"]:
        assert avgzsl(*line.split()[1:])[0] == 0
    _, text, _ = avgzsl("status", *words)
    assert "2 of 2 runs are done" in text
    assert "demo · hashed · mapped" in text


def test_from_python_records_come_in_the_order_of_the_grid(out):
    found = avgzsl_bench.run(
        ["eszsl", "constant"], ["demo"], ["hashed"], features=["mapped", "shared"], out=out, device="cpu", jobs=2
    )
    names = [(record["identity"]["features"], record["identity"]["method"]) for record in found]
    assert names == [(features, method) for features in ("mapped", "shared") for method in ("eszsl", "constant")]
    with pytest.raises(AvgzslError, match="unknown launcher 'slrum'; did you mean slurm"):
        avgzsl_bench.run("constant", out=out, launcher="slrum")


# workers


def test_workers_make_what_one_process_makes(witness, out, avgzsl, tmp_path):
    names = ["-m", "devise", "-m", "sje", "-d", "demo", "--seeds", 2, *SHORT]
    done = run(witness, *names, "--jobs", 2, out=out)
    assert done.returncode == 0, done.stderr
    ends = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in ends] == [f"[{number}/4" for number in range(1, 5)]
    assert sum("devise on demo, hashed, seed " in line and "HM " in line for line in ends) == 2
    assert len({process for event, *_, process in witness.lines() if event == "started"}) == 2
    assert max(witness.starts().values()) == 1
    code, text, _ = avgzsl("run", *names, "--out", tmp_path / "alone")
    own, alone = ({found["run_id"]: found["metrics"] for found in records(place)} for place in (out, tmp_path / "alone"))
    assert own == alone
    code, again, progress = avgzsl("run", *names, "--jobs", 2, "--out", out)
    assert (code, progress) == (0, "4 runs: 4 done, 0 to do\n")
    assert again.replace(str(out), "") == text.replace(str(tmp_path / "alone"), "")


def test_one_job_of_several_seeds_keeps_several_workers_busy(out):
    options = runner.Options(out, "cpu")
    shapes = {
        (2, 1, 5): [3, 2],
        (4, 1, 3): [1, 1, 1],
        (2, 2, 3): [3, 3],
        (3, 2, 4): [2, 2, 2, 2],
    }
    for (workers, jobs, seeds), wanted in shapes.items():
        _, todo = _turns.pieces([lists("devise", seeds), lists("sje", seeds)][:jobs], options, workers)
        assert [len(plans) for plans in todo] == wanted


def test_a_killed_worker_is_replaced_and_its_run_made_by_another(witness, out):
    witness.at_epochs("kill devise 1 1")
    done = run(witness, "-m", "devise", "-m", "sje", "-d", "demo", "--seeds", 2, "--jobs", 2, *SHORT, out=out)
    assert done.returncode == 0, done.stderr
    assert "devise, seed 1: its worker process died (SIGKILL); another takes it up" in done.stderr
    assert len(records(out)) == 4
    assert witness.starts()["devise 1"] == 2
    assert not list(out.rglob("claim.json"))


def test_a_run_that_kills_two_workers_has_failed_and_the_others_go_on(witness, out):
    witness.at_epochs("kill devise 0 9")
    done = run(witness, "-m", "devise", "-m", "sje", "-d", "demo", "--seeds", 2, "--jobs", 2, *SHORT, out=out)
    assert done.returncode == 2
    error = "error: devise, seed 0: two worker processes died of it, the last by SIGKILL; if memory is short, use fewer --jobs"
    assert done.stderr.splitlines()[-1] == error
    assert witness.starts()["devise 0"] == 2
    assert len(records(out)) == 3


def test_a_failed_run_of_a_worker_stops_no_other():
    conformance.a_failed_run_stops_no_other(config.launcher("local", jobs=2))


def test_ctrl_c_stops_the_workers_and_leaves_nothing_in_the_way(witness, out, avgzsl):
    witness.at_epochs("hold-all")
    names = ["-m", "devise", "-m", "sje", "-d", "demo", *SHORT]
    words = command(*names, "--jobs", 2, out=out)
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=witness.environment, start_new_session=True)
    until(lambda: len([line for line in witness.lines() if line[0].startswith("epoch")]) == 2)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert error.splitlines()[-1] == "error: interrupted; the same command continues where it stopped"
    assert "Traceback" not in error
    assert not list(out.rglob("claim.json"))
    until(lambda: not any(Path("/proc", pid).exists() for *_, pid in witness.lines()))
    assert avgzsl("run", *names, "--out", out)[0] == 0
    assert len(records(out)) == 2


def test_workers_leave_with_a_launcher_that_is_killed(witness, out):
    witness.at_epochs("hold-all")
    words = command("-m", "devise", "-d", "demo", "--seeds", 2, "--jobs", 2, *SHORT, out=out)
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL, env=witness.environment)
    until(lambda: len([line for line in witness.lines() if line[0].startswith("epoch")]) == 2)
    process.kill()
    process.wait()
    until(lambda: not list(out.rglob("claim.json")))


def test_a_script_without_the_guard_is_told_so(out, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"import avgzsl_bench\navgzsl_bench.run('devise', seeds=2, out={str(out)!r}, device='cpu', jobs=2)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert 'needs the guard `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]


# runs that another process makes


class Meanwhile:
    """Holds a run as another process would, until the launcher begins to wait; then does something and lets go."""

    def __init__(self, job, out, monkeypatch, act=lambda folder: None):
        self.folder = identity.plan(job, out)[0].folder
        self.stack = ExitStack()
        self.stack.enter_context(claims.claimed(self.folder))
        self.act = act
        monkeypatch.setattr(_turns, "sleep", self.sleep)

    def sleep(self, seconds):
        self.act(self.folder)
        self.stack.close()


class Started:
    def __init__(self):
        self.runs = Counter()

    @hookimpl
    def run_started(self, run):
        self.runs[run["identity"]["method"]] += 1


def launched(jobs, out):
    started = Started()
    with plugins.listening(started):
        states = list(config.launcher("local").launch(jobs, runner.Options(out, "cpu")))
    return states, started.runs


def test_a_busy_run_comes_last_and_is_made_when_nobody_makes_it_any_more(out, monkeypatch, caplog):
    jobs = [lists("constant"), lists("eszsl")]
    Meanwhile(jobs[0], out, monkeypatch)
    states, started = launched(jobs, out)
    assert [state.record.parent.name.split("-")[0] for state in states] == ["eszsl", "constant"]
    assert started == {"constant": 1, "eszsl": 1}
    (said,) = [line.getMessage() for line in caplog.records if "another process" in line.getMessage()]
    assert said.startswith(f"1 run is being made by another process (pid {os.getpid()} on ")


def test_a_busy_run_that_is_done_there_is_not_made_again(out, monkeypatch):
    def finish(folder):
        (folder / "record.json").write_text("{}")

    Meanwhile(lists("constant"), out, monkeypatch, finish)
    states, started = launched([lists("constant"), lists("eszsl")], out)
    assert all(state.record for state in states)
    assert started == {"eszsl": 1}


def test_a_busy_run_that_fails_there_has_failed(out, monkeypatch):
    def fail(folder):
        files.write_whole(folder / "failure.json", json.dumps({"error": "AvgzslError: the loss is not a number"}))

    fail(identity.plan(lists("constant"), out)[0].folder)  # of an earlier call, which this one is to make good
    Meanwhile(lists("constant"), out, monkeypatch, fail)
    states, started = launched([lists("constant")], out)
    assert [(state.record, state.error) for state in states] == [(None, "the loss is not a number")]
    assert not started


def test_the_failure_of_an_earlier_call_is_made_good(out, monkeypatch):
    folder = identity.plan(lists("constant"), out)[0].folder
    files.write_whole(folder / "failure.json", json.dumps({"error": "old"}))
    Meanwhile(lists("constant"), out, monkeypatch)
    states, started = launched([lists("constant")], out)
    assert states[0].record
    assert started == {"constant": 1}


def test_two_launchers_of_one_grid_share_it(witness, out):
    words = command("-m", "devise", "-m", "sje", "-d", "demo", "--seeds", 2, *SHORT, out=out)
    both = [
        subprocess.Popen([*words, *extra], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=witness.environment)
        for extra in ([], ["--jobs", "2"])
    ]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0], "both show the whole grid"
    assert len(records(out)) == 4
    assert set(witness.starts().values()) == {1}


COLLIDER = """
import os, sys
from functools import cache
from pathlib import Path
import torch
from avgzsl_bench import config, plugins, provenance, runner
from avgzsl_bench.hookspecs import hookimpl

out, log, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
provenance.environment = cache(provenance.environment)  # most of the time of a run that does nothing
os.fsync = lambda descriptor: None
torch.set_num_threads(1)

class Note:
    @hookimpl
    def run_started(self, run):
        descriptor = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(descriptor, f"{run['run_id']} {os.getpid()}\\n".encode())
        os.close(descriptor)

sys.stdin.readline()
with plugins.listening(Note()):
    states = list(config.launcher("local").launch([config.resolve("chance", "demo", seeds=count)], runner.Options(out, "cpu")))
for state in states:
    print(state.run_id, state.record.is_file() if state.record else state.error)
"""


def test_eight_launchers_on_one_store_lose_nothing_and_make_nothing_twice(out, tmp_path):
    log = tmp_path / "log"
    arguments = [sys.executable, "-c", COLLIDER, str(out), str(log), str(COLLISIONS)]
    planned = {planned.run_id for planned in identity.plan(config.resolve("chance", "demo", seeds=COLLISIONS), out)}
    running = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(COLLIDERS)]
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        states = dict(line.split(maxsplit=1) for line in process.communicate()[0].splitlines())
        assert states.keys() == planned
        assert set(states.values()) == {"True"}
    made = [line.split() for line in log.read_text().splitlines()]
    assert Counter(run_id for run_id, _ in made) == dict.fromkeys(planned, 1)
    assert len({maker for _, maker in made}) == COLLIDERS
    assert {record["run_id"] for record in records(out)} == planned
    assert not list(out.rglob("claim.json"))


def test_gpus_are_dealt_out_to_workers_unless_one_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert _pool._devices("auto", 3) == _pool._devices("cuda", 3) == ["cuda:0", "cuda:1", "cuda:0"]
    assert _pool._devices("cuda:1", 2) == ["cuda:1", "cuda:1"]
    assert _pool._devices("cpu", 2) == ["cpu", "cpu"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert _pool._devices("auto", 2) == ["auto", "auto"]


def test_workers_share_the_cores(monkeypatch, out):
    monkeypatch.setattr(_pool, "_cores", lambda: 8)
    options = runner.Options(out, "cpu")
    assert [_pool.Pool([], options, size).threads for size in (2, 3, 16)] == [4, 2, 1]
