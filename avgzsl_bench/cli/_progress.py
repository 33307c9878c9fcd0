"""Progress of runs: bars on a terminal, one line an epoch elsewhere, as far as the event hooks tell; and a line an end."""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from avgzsl_bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from avgzsl_bench.contracts import JobState


def _title(identity: dict[str, Any]) -> str:
    form = " (reference)" if identity["form"] == "reference" else ""
    return f"{identity['method']}{form} on {identity['dataset']}, {identity['encoder']}, seed {identity['seed']}"


def _end(state: "JobState") -> str:
    from avgzsl_bench import records

    if state.record is None:
        return f"failed: {' '.join(state.error.split())}"
    return f"HM {100 * records.read(state.record)['metrics']['harmonic_mean']:.2f} %"


def _stage(logs: dict[str, Any]) -> str:
    searched = ", ".join(f"{key}={value}" for key, value in logs["searched"].items())
    return f"stage {logs['stage']}" + (f", {searched}" if searched else "")


def _epoch(logs: dict[str, Any]) -> str:
    loss = f"loss {sum(logs['losses'].values()):.4g}" if logs["losses"] else "nothing to train"
    value = logs["harmonic_mean"]
    return loss if value is None else f"{loss}, validation HM {100 * value:.2f} %"


class Lines:
    """One line an epoch and one an end on stderr, for logs and pipes."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.over = 0

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    @hookimpl
    def run_started(self, run: dict[str, Any]) -> None:
        """Name the run."""
        typer.echo(f"{_title(run['identity'])}: {run['run_id']}", err=True)

    @hookimpl
    def epoch_finished(self, run: dict[str, Any], epoch: int, logs: dict[str, Any]) -> None:
        """One line; runs that are trained at once take turns."""
        seed = run["identity"]["seed"]
        typer.echo(f"  seed {seed}, {_stage(logs)}, epoch {epoch}/{logs['epochs']}: {_epoch(logs)}", err=True)

    def ended(self, identity: dict[str, Any], state: "JobState") -> None:
        """Say how a run ended."""
        self.over += 1
        typer.echo(f"[{self.over}/{self.runs}] {_title(identity)}: {_end(state)}", err=True)


class Bars:
    """Bars on the terminal: one of runs, and for every run under way in this process one of the epochs of its stage."""

    def __init__(self, runs: int) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.all = self.progress.add_task("runs", total=runs, said="")
        self.stages: dict[str, tuple[str, TaskID]] = {}  # by run: what it is in, and the bar of it

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()

    @hookimpl
    def epoch_finished(self, run: dict[str, Any], epoch: int, logs: dict[str, Any]) -> None:
        """Advance the stage's bar; a new stage gets a new one, since the time left is its own."""
        place, task = self.stages.get(run["run_id"], ("", None))
        if task is None or place != _stage(logs):
            self._remove(run["run_id"])
            title = f"{_title(run['identity'])}, stage {logs['stage']}"
            task = self.progress.add_task(title, total=logs["epochs"], said="", completed=epoch - 1)
            self.stages[run["run_id"]] = _stage(logs), task
        self.progress.update(task, completed=epoch, said=_epoch(logs), refresh=True)

    def _remove(self, run_id: str) -> None:
        if run_id in self.stages:
            self.progress.remove_task(self.stages.pop(run_id)[1])

    def ended(self, identity: dict[str, Any], state: "JobState") -> None:
        """Say how a run ended, and advance the bar of runs."""
        self._remove(state.run_id)
        self.progress.console.print(f"{_title(identity)}: {_end(state)}", markup=False, highlight=False, soft_wrap=True)
        self.progress.advance(self.all)


def shown(runs: int) -> Bars | Lines:
    """Bars where somebody watches, lines elsewhere."""
    return Bars(runs) if sys.stderr.isatty() else Lines(runs)
