"""A plugin that notes in a file what runs in whatever process do, and lets a test kill or hold them at a place."""

import os
from collections import Counter
from pathlib import Path

MODULE = """
import os, signal, time
from pathlib import Path

from avgzsl_bench import hookimpl

FOLDER = Path(os.environ["WITNESS"])


def note(run, event):
    line = f"{event} {run['identity']['method']} {run['identity']['seed']} {os.getpid()}"
    descriptor = os.open(FOLDER / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, line.encode() + b"\\n")
    os.close(descriptor)
    return Path(FOLDER / "log").read_text().splitlines()


@hookimpl
def run_started(run):
    note(run, "started")


@hookimpl
def epoch_finished(run, epoch, logs):
    lines = note(run, f"epoch{logs['stage']}.{epoch}")
    name = f"{run['identity']['method']} {run['identity']['seed']}"
    starts = sum(line.startswith(f"started {name} ") for line in lines)
    place = (FOLDER / "place").read_text().split() if (FOLDER / "place").exists() else []
    if place and name == " ".join(place[1:3]) and starts <= int(place[3]):
        if place[0] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while place[0] == "hold":
            time.sleep(0.1)
    if place and place[0] == "hold-all" and starts == 1:
        while True:
            time.sleep(0.1)
"""


class Witness:
    """What a test sees of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        info = self.site / "witness-1.0.dist-info"
        info.mkdir(parents=True)
        (self.site / "witness.py").write_text(MODULE)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: witness\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[avgzsl_bench]\nwitness = witness\n")

    @property
    def environment(self) -> dict[str, str]:
        """With which a process has the plugin."""
        path = os.pathsep.join(filter(None, [str(self.site), os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, "PYTHONPATH": path, "AVGZSL_PLUGINS": "witness", "WITNESS": str(self.folder)}

    def at_epochs(self, what: str) -> None:
        """`kill METHOD SEED N` or `hold METHOD SEED N`, at the first epoch of each of N starts; or `hold-all`."""
        (self.folder / "place").write_text(what)

    def lines(self) -> list[list[str]]:
        """Everything noted: event, method, seed, process."""
        log = self.folder / "log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def starts(self) -> Counter[str]:
        """How often each run was begun, by method and seed."""
        return Counter(f"{method} {seed}" for event, method, seed, _ in self.lines() if event == "started")
