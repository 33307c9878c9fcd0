"""Claims: beaten while held, judged by signs of life and not by clocks, taken over once, and given back on a broken disk."""

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from slurm_cluster import until

from avgzsl_bench import claims
from avgzsl_bench.claims import Busy, claimed, holder, release_dead
from avgzsl_bench.errors import AvgzslError

ELSEWHERE = {"pid": 1, "host": "another", "started": "", "token": "x"}


@pytest.fixture
def claim(tmp_path):
    return tmp_path / "claim.json"


def left(claim, owner, age=0.0):
    """A claim that some process made, and that was last touched so many seconds ago by the clock of the disk."""
    claim.write_text(json.dumps(owner))
    now = claim.stat().st_mtime
    os.utime(claim, (now - age, now - age))


def gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return {"pid": child.pid, "host": socket.gethostname(), "started": "long ago", "token": "x"}


def test_a_claim_is_beaten_while_it_is_held(claim, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with claimed(claim.parent):
        os.utime(claim, (0, 0))
        until(lambda: claim.stat().st_mtime > 0)
    assert not claim.exists()
    until(lambda: not any(thread.name.startswith("heartbeat") for thread in threading.enumerate()))


def test_the_heart_of_one_that_was_taken_over_does_not_beat_for_the_other(claim, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SECONDS", 0.01)
    with claimed(claim.parent) as check:
        left(claim, ELSEWHERE, age=50)
        before = claim.stat().st_mtime
        until(lambda: not any(thread.name.startswith("heartbeat") for thread in threading.enumerate()))
        assert claim.stat().st_mtime == before
        with pytest.raises(Busy, match="another process has taken over"):
            check()
    assert claim.exists(), "it is the other's"


@pytest.mark.parametrize("clock", [0, 10**6, -(10**6)])
def test_a_claim_from_elsewhere_goes_stale_whatever_the_clock_here_says(claim, monkeypatch, clock):
    wrong = time.time() + clock
    monkeypatch.setattr(claims.time, "time", lambda: wrong)
    left(claim, ELSEWHERE, claims.STALE_SECONDS - 60)
    assert holder(claim.parent) == "pid 1 on another"
    with pytest.raises(Busy, match="pid 1 on another"), claimed(claim.parent):
        pass
    left(claim, ELSEWHERE, claims.STALE_SECONDS + 60)
    assert holder(claim.parent) is None
    with claimed(claim.parent):
        assert holder(claim.parent) == f"pid {os.getpid()} on {socket.gethostname()}"
    assert list(claim.parent.iterdir()) == []


def test_a_claim_of_here_is_judged_by_its_process(claim):
    left(claim, gone())
    assert holder(claim.parent) is None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    left(claim, {"pid": child.pid, "host": socket.gethostname(), "started": claims._started(child.pid)}, age=10**6)
    assert holder(claim.parent) == f"pid {child.pid} on {socket.gethostname()}"
    child.kill()
    until(lambda: holder(claim.parent) is None)
    child.wait()  # till then it was a zombie, which makes nothing any more


@pytest.mark.parametrize(
    ("here", "free"),
    [
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}, False),
        ({"SLURM_JOB_ID": "8", "SLURM_RESTART_COUNT": "2"}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2", "SLURM_CLUSTER_NAME": "other"}, False),
        ({"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "SLURM_RESTART_COUNT": "2"}, False),
        ({}, False),
    ],
)
def test_a_slurm_job_that_was_queued_again_takes_its_own_claim_over_at_once(claim, monkeypatch, here, free):
    left(claim, {**ELSEWHERE, "slurm": ":7", "restart": 1})
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    assert (holder(claim.parent) is None) == free


def test_a_claim_names_the_slurm_task_that_holds_it(claim, monkeypatch):
    assert claims._slurm_task() == ""
    for name, value in {"JOB_ID": "9", "ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "3", "CLUSTER_NAME": "big"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with claimed(claim.parent):
        held = json.loads(claim.read_text())
    assert (held["slurm"], held["restart"]) == ("big:7_3", 0)


def test_of_many_that_see_a_dead_claim_one_takes_it_over(claim):
    """In rounds of threads, each of which looks, removes and claims at once; a claim that two hold would be seen."""
    dead, crowd, held, wrong = gone(), threading.Barrier(8), [], []

    def strive():
        for _ in range(40):
            if crowd.wait() == 0:
                left(claim, dead)
            crowd.wait()
            try:
                with claimed(claim.parent) as check:
                    held.append(1)
                    if len(held) > 1:
                        wrong.append("two hold it")
                    time.sleep(0.001)
                    check()
                    held.pop()
            except Busy:
                pass
            crowd.wait()
            if claim.exists():
                wrong.append("it is held for ever")

    strivers = [threading.Thread(target=strive) for _ in range(8)]
    for thread in strivers:
        thread.start()
    for thread in strivers:
        thread.join()
    assert not wrong


def test_what_a_process_killed_in_a_take_over_left_stands_in_the_way_for_a_moment_only(claim):
    left(claim, gone())
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom avgzsl_bench import claims\n"
        "text, looks = claims._text, []\n"
        "def look(path):\n    looks.append(path)\n    return text(path) if len(looks) == 1 else os._exit(7)\n"
        "claims._text = look\nclaims.release_dead(Path(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, claim.parent]).returncode == 7
    (lock,) = [path for path in claim.parent.iterdir() if path != claim]
    release_dead(claim.parent)
    assert claim.exists()
    os.utime(lock, (0, 0))
    release_dead(claim.parent)
    release_dead(claim.parent)
    assert list(claim.parent.iterdir()) == []


@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC])
def test_a_disk_that_takes_no_claim_is_one_line(claim, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(claims.os, "open", refuse)
        with (
            pytest.raises(AvgzslError, match=rf"could not write {claim}: {os.strerror(code)}; make room") as caught,
            claimed(claim.parent),
        ):
            pass
        assert not isinstance(caught.value, Busy), "nobody is to be waited for"
    with claimed(claim.parent):
        pass


def test_a_disk_that_fills_up_within_a_claim_keeps_none_of_it(claim, monkeypatch):
    def full(descriptor, mode):
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(claims.os, "fdopen", full)
        with pytest.raises(AvgzslError, match="No space left on device"), claimed(claim.parent):
            pass
    assert list(claim.parent.iterdir()) == []
