"""Claims: one process at a time makes a run, and a dead one's claim is taken over."""

import hashlib
import json
import logging
import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import make_folder

log = logging.getLogger(__name__)

BEAT_SECONDS = 30.0  # between two heartbeats
STALE_SECONDS = 300.0  # a claim from another machine without a heartbeat for so long is abandoned
WRITING_SECONDS = 10.0  # a claim that cannot be read may be one that is being written


class Busy(AvgzslError):  # noqa: N818 - a state of the run, not a fault
    """Another living process holds the run."""


@contextmanager
def claimed(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold a run's folder: a claim file made with O_EXCL, its time of change a heartbeat; yields what checks the claim.

    A thread beats while the block runs. Raises Busy while another living process holds the folder, as the yielded
    function does once another has taken it over; AvgzslError when the disk refuses. A dead one's claim is taken over.
    """
    make_folder(folder)
    claim = folder / "claim.json"
    own = json.dumps({**_owner(), "token": uuid.uuid4().hex})
    try:
        release_dead(folder)
        _write_new(claim, own)
    except FileExistsError:
        raise Busy(f"{folder} is being made by another process ({_holder(claim)}); wait for it, or stop it") from None
    except OSError as error:
        raise AvgzslError(
            f"could not write {claim}: {error.strerror or error}; make room there or choose another place"
        ) from error

    def check() -> None:
        if _text(claim) != own:
            raise Busy(f"another process has taken over {folder}; this one stops")

    over = threading.Event()
    threading.Thread(target=_beat, args=(claim, own, over), name=f"heartbeat of {folder.name}", daemon=True).start()
    try:
        yield check
    finally:
        over.set()
        if _text(claim) == own:
            claim.unlink(missing_ok=True)


def holder(folder: Path) -> str | None:
    """Which living process holds a run's folder, as far as its claim tells; None where none does. Leaves it as it is."""
    claim = folder / "claim.json"
    held = _text(claim)
    return None if held is None or _dead(claim, held) else _holder(claim)


def release_dead(folder: Path) -> None:
    """Remove the claim of a process that is gone; a living one's stays."""
    claim = folder / "claim.json"
    held = _text(claim)
    if held is None or not _dead(claim, held):
        return
    # of many that see one dead claim, the one that makes this file removes it; a late one then finds another claim there
    lock = claim.with_name(f".claim.{hashlib.sha256(held.encode()).hexdigest()[:16]}")
    try:
        _write_new(lock, "")
    except FileExistsError:
        if _age(lock) >= WRITING_SECONDS:  # who made it was killed just then; the next look removes the claim
            lock.unlink(missing_ok=True)
        return
    try:
        if _text(claim) == held:
            log.info("taking over %s, whose process is gone", folder)
            claim.unlink(missing_ok=True)
    finally:
        lock.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    """Create a file that is not there yet. Raises FileExistsError where it is; on a full disk nothing stays."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _beat(claim: Path, own: str, over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        with suppress(OSError):  # a file server that is away for a moment; the claim goes stale if it stays away
            if _text(claim) != own:
                return
            os.utime(claim)


def _owner() -> dict[str, Any]:
    """What tells later whether this process is alive."""
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid())}
    return owner | {"slurm": task, "restart": _restarts()} if (task := _slurm_task()) else owner


def _slurm_task() -> str:
    """The Slurm job that this process belongs to, which keeps its number when it is queued again; empty outside of one."""
    here = os.environ.get
    task = here("SLURM_ARRAY_JOB_ID", ""), here("SLURM_ARRAY_TASK_ID", "")
    number = "_".join(task) if all(task) else here("SLURM_JOB_ID", "")
    return f"{here('SLURM_CLUSTER_NAME', '')}:{number}" if number else ""


def _restarts() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def _dead(claim: Path, held: str) -> bool:
    try:
        owner = json.loads(held)
        here, pid, started = owner["host"] == socket.gethostname(), int(owner["pid"]), str(owner.get("started", ""))
        restarted = owner.get("slurm", "") == _slurm_task() != "" and int(owner.get("restart", 0)) < _restarts()
    except (ValueError, TypeError, KeyError, AttributeError):
        return _age(claim) >= WRITING_SECONDS
    if here:
        return not _alive(pid, started)
    return restarted or _age(claim) >= STALE_SECONDS


def _age(path: Path) -> float:
    """Seconds since a file was touched, by the clock of whoever keeps the folder, which need not agree with ours."""
    now = path.with_name(f".now.{secrets.token_hex(8)}")
    try:
        now.touch(exist_ok=False)
        moment = now.stat().st_mtime
    except OSError:  # a store that is only read
        moment = time.time()
    finally:
        with suppress(OSError):
            now.unlink()
    try:
        return moment - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _alive(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not started or _started(pid) == started  # a number that another process has by now is no sign of life


def _started(pid: int) -> str:
    """When a process started, in the kernel's own words since boot; empty where there is no /proc, and of a zombie."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else f"{boot} {fields[18]}"
    except (OSError, IndexError):
        return ""


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def _holder(claim: Path) -> str:
    try:
        held = json.loads(claim.read_text())
        return f"pid {held['pid']} on {held['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"see {claim}"
