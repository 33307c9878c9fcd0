"""Start runs through a launcher, and tell on stderr how each of them ends."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from avgzsl_bench.cli import _complete

if TYPE_CHECKING:
    from avgzsl_bench.config import RunConfig
    from avgzsl_bench.contracts import JobState, Launcher
    from avgzsl_bench.identity import Plan
    from avgzsl_bench.runner import Options

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Stack = Annotated[
    int, typer.Option(min=0, help="Runs of a setting that are trained at once, at most; 0 takes as many as fit and pay.")
]
Compile = Annotated[str, typer.Option(help="Use torch.compile: auto (in long runs, where a trial shows a gain), on or off.")]
Deterministic = Annotated[bool, typer.Option("--deterministic", help="Use only algorithms that give the same bits every time.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Workers: processes that share this machine, or Slurm tasks.")]
Name = Annotated[
    str,
    typer.Option("--launcher", help="What makes the runs: local, slurm, or a plugin's.", autocompletion=_complete.launchers),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--launch", metavar="KEY=VALUE", help="Set one setting of the launcher (`avgzsl show slurm`); repeatable."),
]


class Start(NamedTuple):
    """The launcher that the command line chooses, and what it is told."""

    launcher: "Launcher"
    options: "Options"


def start(name: str, jobs: int, given: list[str] | None, options: "Options") -> Start:
    """What is to start the runs. Raises AvgzslError where that cannot be."""
    from avgzsl_bench import config

    chosen = Start(config.launcher(name, jobs, config.parse(given or [], "--launch")), options)
    chosen.launcher.check(chosen.options)
    return chosen


def launch(start: Start, jobs: "Sequence[Sequence[RunConfig]]", plans: "Sequence[Plan]") -> "dict[str, JobState]":
    """Start what is missing; the ends of all runs, by run id."""
    from avgzsl_bench import plugins
    from avgzsl_bench.cli import _progress
    from avgzsl_bench.files import make_folder

    make_folder(start.options.out)
    todo = {planned.run_id: planned for planned in plans if not planned.done}
    ends = {}
    with _progress.shown(len(todo)) as shown, plugins.listening(shown):
        for state in start.launcher.launch(jobs, start.options):
            ends[state.run_id] = state
            if state.run_id in todo:
                shown.ended(todo[state.run_id].identity, state)
    return ends
