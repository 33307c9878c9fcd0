"""Questions to a launcher, asked with a job that is done in a moment."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from avgzsl_bench import config, plugins, records
from avgzsl_bench.contracts import Launcher
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.identity import plan
from avgzsl_bench.runner import Options
from avgzsl_bench.testing.kit import Skip


def subjects(name: str) -> dict[str, Callable[[], Launcher]]:
    """The launcher by its name."""
    return {name: partial(_subject, name)}


def _subject(name: str) -> Launcher:
    launcher: Launcher = plugins.load("launchers", name)()
    return launcher


def does_nothing_without_jobs(launcher: Launcher) -> None:
    """No jobs, no states."""
    with TemporaryDirectory() as folder:
        assert list(launcher.launch([], Options(Path(folder), "cpu"))) == [], "reports states of runs that nobody asked for"


def reports_every_run_of_every_job(launcher: Launcher) -> None:
    """Two jobs end as two states, each with the record of the run it names."""
    with TemporaryDirectory() as folder:
        options = Options(Path(folder), "cpu")
        jobs = [config.resolve(method, "demo") for method in ("constant", "eszsl")]
        planned = {run.run_id for job in jobs for run in plan(job, options.out)}
        try:
            states = list(launcher.launch(jobs, options))
        except AvgzslError as error:
            raise Skip(f"cannot launch here: {error}") from error
        broken = [state.error for state in states if state.record is None]
        assert not broken, f"runs failed: {broken[0]}"
        assert {state.run_id for state in states} == planned, "the states' run ids are not those of the jobs"
        for state in states:
            assert state.record is not None
            assert records.read(state.record)["run_id"] == state.run_id, f"{state.record.name} is the record of another run"


QUESTIONS: tuple[Callable[[Launcher], None], ...] = (does_nothing_without_jobs, reports_every_run_of_every_job)
