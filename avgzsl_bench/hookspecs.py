"""Every hook, in the order a run meets them.

A plugin is a module (or object) with functions marked `@hookimpl`, named in the entry-point group `avgzsl_bench`.
Registrars all have one shape: call `register(name, target)`, where the target is a class or the string
"module:Class", which is imported only when it is used.
"""

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import typer

    Register = Callable[[str, type | str], None]

PROJECT = "avgzsl_bench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# Registration: called once, when the command line or the Python API first looks for a member.


@hookspec
def register_methods(register: "Register") -> None:
    """Add methods (`contracts.Method`).

    Called once at start-up; returns nothing. Example::

        @hookimpl
        def register_methods(register):
            register("prototype", "avgzsl_prototype:Prototype")
    """


@hookspec
def register_encoders(register: "Register") -> None:
    """Add text encoders (`contracts.TextEncoder`).

    Called once at start-up; returns nothing. Example::

        @hookimpl
        def register_encoders(register):
            register("letters", "avgzsl_prototype:Letters")
    """


@hookspec
def register_losses(register: "Register") -> None:
    """Add losses (`contracts.Loss`), each of one family.

    Called once at start-up; returns nothing. Example::

        @hookimpl
        def register_losses(register):
            register("focal", "avgzsl_focal:Focal")
    """


@hookspec
def register_datasets(register: "Register") -> None:
    """Add data sets (`contracts.Dataset`).

    Called once at start-up; returns nothing. Example::

        @hookimpl
        def register_datasets(register):
            register("kinetics", "avgzsl_kinetics:Kinetics")
    """


@hookspec
def register_launchers(register: "Register") -> None:
    """Add launchers (`contracts.Launcher`), ways to start jobs.

    Called once at start-up; returns nothing. Example::

        @hookimpl
        def register_launchers(register):
            register("queue", "avgzsl_queue:Queue")
    """


@hookspec
def register_renderers(register: "Register") -> None:
    """Add renderers (`contracts.Renderer`), formats of `avgzsl leaderboard`.

    Called once at start-up; returns nothing. Example::

        @hookimpl
        def register_renderers(register):
            register("rst", "avgzsl_rst:Rst")
    """


@hookspec
def register_commands(app: "typer.Typer") -> None:
    """Add verbs to the command line.

    Called while the command line is built; returns nothing. Example::

        @hookimpl
        def register_commands(app):
            @app.command()
            def hello() -> None:
                print("hello")
    """


@hookspec
def published() -> "list[Path]":  # type: ignore[empty-body]
    """Name TOML files of printed numbers and recipes (format: `avgzsl_bench/published/__init__.py`).

    Called when recipes or published numbers are looked up; returns paths. Example::

        @hookimpl
        def published():
            return [Path(__file__).with_name("doe2026.toml")]
    """


# Events: called while a run goes on. One that raises is logged once and left out for the rest of the run.


@hookspec
def update_environment(environment: "dict[str, Any]") -> None:
    """Amend, in place, the environment that a record keeps.

    Called once a run, before it starts; returns nothing. Example::

        @hookimpl
        def update_environment(environment):
            environment["cluster"] = "blue"
    """


@hookspec
def run_started(run: "dict[str, Any]") -> None:
    """A run begins: `run` has run_id, setting_id, identity, settings and folder, a path as text.

    Called once a run; returns nothing. Example::

        @hookimpl
        def run_started(run):
            tracker.start(name=run["run_id"], config=run["settings"])
    """


@hookspec
def epoch_finished(run: "dict[str, Any]", epoch: int, logs: "dict[str, Any]") -> None:
    """An epoch ended: `logs` has stage, epochs, searched, losses, harmonic_mean, train_seconds and evaluate_seconds.

    `epochs` is the number that the stage will run, `searched` the settings that a search tries in it (else empty),
    `losses` a mean by name, `harmonic_mean` a fraction on what selects the epoch, or None where nothing was scored, and
    the seconds are sums since the run began. Called after every epoch of both stages; `epoch` counts from 1 in each
    stage, and a method that trains nothing reports epoch 0 of 0 once a stage; returns nothing. Example::

        @hookimpl
        def epoch_finished(run, epoch, logs):
            tracker.log(logs["losses"], step=epoch)
    """


@hookspec
def run_finished(run: "dict[str, Any]", record: "dict[str, Any]") -> None:
    """A run is complete and its record is on disk.

    Called once a run; returns nothing. Example::

        @hookimpl
        def run_finished(run, record):
            tracker.summary(record["metrics"])
    """


@hookspec
def run_failed(run: "dict[str, Any]", error: BaseException) -> None:
    """A run stopped with an error; failure.json is on disk.

    Called once a run; returns nothing. Example::

        @hookimpl
        def run_failed(run, error):
            tracker.alert(str(error))
    """


@hookspec
def check_record(record: "dict[str, Any]") -> "list[str]":  # type: ignore[empty-body]
    """Look for faults in a record before it enters a leaderboard.

    Called for every record that `avgzsl leaderboard` or `avgzsl submit` reads; returns one sentence a fault. Example::

        @hookimpl
        def check_record(record):
            return [] if record["metrics"]["seen"] < 1 else ["seen accuracy of 100 % is suspicious"]
    """
