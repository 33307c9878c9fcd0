"""Claims: one process at a time makes a run, and a dead one's claim is taken over."""

import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import make_folder

log = logging.getLogger(__name__)

STALE_SECONDS = 3600.0  # a claim from another machine without a heartbeat for so long is abandoned


@contextmanager
def claimed(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold a run's folder: a claim file made with O_EXCL, its time of change a heartbeat; yields the function that beats.

    Raises AvgzslError while another living process holds it; a dead one's claim is taken over.
    """
    make_folder(folder)
    claim = folder / "claim.json"
    release_dead(folder)
    try:
        descriptor = os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        raise AvgzslError(f"{folder} is being made by another process ({_holder(claim)}); wait for it, or stop it") from None
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": os.getpid(), "host": socket.gethostname()}, file)
    try:
        yield lambda: os.utime(claim)
    finally:
        with suppress(FileNotFoundError):
            claim.unlink()


def _holder(claim: Path) -> str:
    try:
        held = json.loads(claim.read_text())
        return f"pid {held['pid']} on {held['host']}"
    except (OSError, ValueError, KeyError):
        return "unknown"


def release_dead(folder: Path) -> None:
    """Remove the claim of a process that is gone; a living one's stays."""
    claim = folder / "claim.json"
    try:
        held = json.loads(claim.read_text())
        age = time.time() - claim.stat().st_mtime
    except FileNotFoundError:
        return
    except ValueError:
        held, age = {}, STALE_SECONDS  # killed while it wrote its claim
    dead = not _alive(held["pid"]) if held.get("host") == socket.gethostname() else age >= STALE_SECONDS
    if dead:
        log.info("taking over %s, whose process is gone", claim.parent)
        claim.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
