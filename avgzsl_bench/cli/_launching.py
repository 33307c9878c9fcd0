"""Start runs through a launcher, and tell on stderr how each of them ends."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _complete

if TYPE_CHECKING:
    from avgzsl_bench.config import RunConfig
    from avgzsl_bench.contracts import JobState, Launcher
    from avgzsl_bench.identity import Plan

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Workers: processes that share this machine, or Slurm tasks.")]
Name = Annotated[
    str,
    typer.Option("--launcher", help="What makes the runs: local, slurm, or a plugin's.", autocompletion=_complete.launchers),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--launch", metavar="KEY=VALUE", help="Set one setting of the launcher (`avgzsl show slurm`); repeatable."),
]


def launcher(name: str, jobs: int, given: list[str] | None) -> "Launcher":
    """The launcher that the options choose."""
    from avgzsl_bench import config

    return config.launcher(name, jobs, config.parse(given or [], "--launch"))


def launch(
    launcher: "Launcher", jobs: "Sequence[Sequence[RunConfig]]", plans: "Sequence[Plan]", out: Path, device: str
) -> "dict[str, JobState]":
    """Start what is missing; the ends of all runs, by run id."""
    from avgzsl_bench import plugins, runner
    from avgzsl_bench.cli import _progress
    from avgzsl_bench.files import make_folder

    make_folder(out)
    todo = {planned.run_id: planned for planned in plans if not planned.done}
    ends = {}
    with _progress.shown(len(todo)) as shown, plugins.listening(shown):
        for state in launcher.launch(jobs, runner.Options(out, device)):
            ends[state.run_id] = state
            if state.run_id in todo:
                shown.ended(todo[state.run_id].identity, state)
    return ends
