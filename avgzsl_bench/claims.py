"""Claims: one process at a time makes a run, and a dead one's claim is taken over."""

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import make_folder

log = logging.getLogger(__name__)

STALE_SECONDS = 3600.0  # a claim from another machine without a heartbeat for so long is abandoned
WRITING_SECONDS = 10.0  # a claim that cannot be read may be one that is being written


@contextmanager
def claimed(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold a run's folder: a claim file made with O_EXCL, its time of change a heartbeat; yields the function that beats.

    Raises AvgzslError while another living process holds it; a dead one's claim is taken over.
    """
    make_folder(folder)
    claim = folder / "claim.json"
    release_dead(folder)
    own = json.dumps(
        {"pid": os.getpid(), "host": socket.gethostname(), "started": _started(os.getpid()), "token": uuid.uuid4().hex}
    )
    try:
        descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        raise AvgzslError(f"{folder} is being made by another process ({_holder(claim)}); wait for it, or stop it") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(own)

    def beat() -> None:
        if _text(claim) != own:
            raise AvgzslError(f"another process has taken over {folder}; this one stops")
        os.utime(claim)

    try:
        yield beat
    finally:
        if _text(claim) == own:
            claim.unlink(missing_ok=True)


def holder(folder: Path) -> str | None:
    """Which living process holds a run's folder, as far as its claim tells; None where none does. Changes nothing."""
    claim = folder / "claim.json"
    held = _text(claim)
    return None if held is None or _dead(claim, held) else _holder(claim)


def release_dead(folder: Path) -> None:
    """Remove the claim of a process that is gone; a living one's stays."""
    claim = folder / "claim.json"
    held = _text(claim)
    if held is None or not _dead(claim, held):
        return
    log.info("taking over %s, whose process is gone", folder)
    grave = claim.with_name(f".claim.{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        claim.rename(grave)
        if _text(grave) == held:
            grave.unlink()
        else:
            grave.rename(claim)  # another process took over between our look and our move


def _dead(claim: Path, held: str) -> bool:
    try:
        age = time.time() - claim.stat().st_mtime
    except FileNotFoundError:
        return False
    try:
        owner = json.loads(held)
        here, pid, started = owner["host"] == socket.gethostname(), int(owner["pid"]), str(owner.get("started", ""))
    except (ValueError, TypeError, KeyError):
        return age >= WRITING_SECONDS
    return not _alive(pid, started) if here else age >= STALE_SECONDS


def _alive(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not started or _started(pid) == started  # a number that another process has by now is no sign of life


def _started(pid: int) -> str:
    """When a process started, in the kernel's own words since boot; empty where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except (OSError, IndexError):
        return ""


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _holder(claim: Path) -> str:
    try:
        held = json.loads(claim.read_text())
        return f"pid {held['pid']} on {held['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"see {claim}"
