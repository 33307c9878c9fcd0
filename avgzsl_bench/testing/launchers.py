"""Questions to a launcher, asked with jobs that are done in a moment."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from avgzsl_bench import config, records
from avgzsl_bench.contracts import JobState, Launcher
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.identity import plan
from avgzsl_bench.runner import Options
from avgzsl_bench.testing.kit import Skip


def subjects(name: str) -> dict[str, Callable[[], Launcher]]:
    """The launcher by its name."""
    return {name: partial(_subject, name)}


def _subject(name: str) -> Launcher:
    return config.launcher(name)


def does_nothing_without_jobs(launcher: Launcher) -> None:
    """No jobs, no states."""
    with TemporaryDirectory() as folder:
        assert list(launcher.launch([], Options(Path(folder), "cpu"))) == [], "reports states of runs that nobody asked for"


def reports_every_run_of_every_job(launcher: Launcher) -> None:
    """Two jobs end as two states, each with the record of the run it names."""
    with TemporaryDirectory() as folder:
        jobs = [config.resolve(method, "demo") for method in ("constant", "eszsl")]
        states = _states(launcher, jobs, Path(folder))
        broken = [state.error for state in states if state.record is None]
        assert not broken, f"runs failed: {broken[0]}"
        _are_those_of(jobs, states, Path(folder))
        for state in states:
            assert state.record is not None
            assert records.read(state.record)["run_id"] == state.run_id, f"{state.record.name} is the record of another run"


def a_failed_run_stops_no_other(launcher: Launcher) -> None:
    """Of three jobs the first fails: it ends with an error, and the others with records."""
    with TemporaryDirectory() as folder:
        failing = config.resolve("devise", "demo", settings={"learning_rate": 1e37, "epochs": 1, "batches_per_epoch": 2})
        jobs = [failing, config.resolve("constant", "demo"), config.resolve("eszsl", "demo")]
        states = _states(launcher, jobs, Path(folder))
        _are_those_of(jobs, states, Path(folder))
        failed = [state for state in states if state.record is None]
        assert [state.run_id for state in failed] == [run.run_id for run in plan(failing, Path(folder))], "other runs failed too"
        assert failed[0].error, "a failed run has no error"


def makes_nothing_twice(launcher: Launcher) -> None:
    """A job given twice, and once more when it is done, is made once and reported each time."""
    with TemporaryDirectory() as folder:
        job = config.resolve("constant", "demo")
        _are_those_of([job], states := _states(launcher, [job, job], Path(folder)), Path(folder))
        assert states[0].record is not None, f"a run failed: {states[0].error}"
        before = states[0].record.stat().st_mtime_ns
        _are_those_of([job], _states(launcher, [job], Path(folder)), Path(folder))
        assert states[0].record.stat().st_mtime_ns == before, "a run that was done is made again"


def _states(launcher: Launcher, jobs: list[tuple[config.RunConfig, ...]], folder: Path) -> list[JobState]:
    try:
        launcher.check(Options(folder, "cpu"))
        return list(launcher.launch(jobs, Options(folder, "cpu")))
    except AvgzslError as error:
        raise Skip(f"cannot launch here: {error}") from error


def _are_those_of(jobs: list[tuple[config.RunConfig, ...]], states: list[JobState], folder: Path) -> None:
    planned = sorted({run.run_id for job in jobs for run in plan(job, folder)})
    assert sorted(state.run_id for state in states) == planned, "the states are not one for each run of the jobs"


QUESTIONS: tuple[Callable[[Launcher], None], ...] = (
    does_nothing_without_jobs,
    reports_every_run_of_every_job,
    a_failed_run_stops_no_other,
    makes_nothing_twice,
)
