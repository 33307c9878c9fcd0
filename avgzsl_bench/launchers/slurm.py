"""Run jobs as a job array of Slurm: each task is a worker that makes several, and goes on after a time limit or a pre-emption."""

import logging
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Any

from pydantic import Field

from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import JobState, Launcher, LauncherSettings
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.identity import Plan
from avgzsl_bench.launchers._turns import in_turn, pieces
from avgzsl_bench.launchers._waiting import Watched
from avgzsl_bench.runner import Options

if TYPE_CHECKING:
    from submitit import Job

log = logging.getLogger(__name__)

FOLDER = ".slurm"  # in the store: what tasks are told, say and leave, since they and we must both reach it
PROGRAMS = ("sbatch", "srun", "squeue")
POLL_SECONDS = 2.0
WARNING_SECONDS = 90  # before its time limit, a task hears of it and queues itself again


class Slurm(Launcher):
    """A Slurm cluster, whose nodes share the store, the data and this environment with the machine that submits."""

    class Settings(LauncherSettings):
        partition: str | None = Field(None, description="Partition; the cluster's own choice if left out.")
        account: str | None = Field(None, description="Account that is charged.")
        qos: str | None = Field(None, description="Quality of service.")
        minutes: int = Field(60, ge=1, description="Time limit of a task; at the limit it is queued again and goes on.")
        requeues: int = Field(100, ge=0, description="How often a task may reach its time limit and go on.")
        cpus: int = Field(1, ge=1, description="Cores of a task.")
        gpus: int = Field(0, ge=0, le=1, description="GPUs of a task, which makes one job at a time.")
        memory_gb: float | None = Field(None, gt=0, description="Memory of a task; the cluster's own choice if left out.")

    def check(self, options: Options) -> None:
        """The extra and Slurm's programs are there."""
        if find_spec("submitit") is None:
            raise AvgzslError("the launcher slurm needs the extra `slurm`: pip install 'avgzsl-bench[slurm]'")
        if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
            raise AvgzslError(f"there is no Slurm here: {', '.join(missing)} not found; submit from a machine that has them")

    def launch(self, jobs: Sequence[Sequence[RunConfig]], options: Options) -> Iterator[JobState]:
        """Submit what is missing as one array, and watch it."""
        done, todo = pieces(jobs, options, self.settings.jobs)
        yield from in_turn([[planned.config] for planned in done], options)
        if not todo:
            return
        piles = [todo[first :: self.settings.jobs] for first in range(min(self.settings.jobs, len(todo)))]
        watched = [[Watched(planned) for plans in pile for planned in plans] for pile in piles]
        tasks = self._submit(piles, options)
        yield from _watch(list(zip(tasks, watched, strict=True)))

    def _submit(self, piles: list[list[list[Plan]]], options: Options) -> "list[Job[list[JobState]]]":
        import submitit

        wanted = self.settings
        absolute = replace(options, out=options.out.resolve())
        works = [[[planned.config for planned in plans] for plans in pile] for pile in piles]
        with _refusals(), redirect_stderr(StringIO()):  # submitit repeats there what its error says
            executor = submitit.SlurmExecutor(absolute.out / FOLDER, max_num_timeout=wanted.requeues)
            given = {"partition": wanted.partition, "account": wanted.account, "qos": wanted.qos}
            given |= {"gpus_per_node": wanted.gpus or None, "mem": wanted.memory_gb and f"{int(1024 * wanted.memory_gb)}MB"}
            executor.update_parameters(
                job_name="avgzsl",
                time=wanted.minutes,
                cpus_per_task=wanted.cpus,
                signal_delay_s=min(WARNING_SECONDS, 30 * wanted.minutes),
                additional_parameters={"requeue": True},  # after a pre-emption, or when its node fails
                **{key: value for key, value in given.items() if value},
            )
            tasks: list[Any] = executor.map_array(Task(absolute, wanted.cpus), works)
            return tasks


class Task:
    """What a task of the array does. It keeps nothing: begun anew, it finds what is done in the store."""

    def __init__(self, options: Options, threads: int) -> None:
        self.options = options
        self.threads = threads

    def __call__(self, jobs: list[list[RunConfig]]) -> list[JobState]:
        """Make its jobs."""
        import torch

        torch.set_num_threads(self.threads)
        return list(in_turn(jobs, self.options))

    def checkpoint(self, jobs: list[list[RunConfig]]) -> Any:
        """What submitit queues again at the time limit: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, jobs)


@contextmanager
def _refusals() -> Iterator[None]:
    """One line for a Slurm that does not take the jobs."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        yield
    except (FailedJobError, FailedSubmissionError) as error:
        raise AvgzslError(f"Slurm refuses the jobs: {_last(str(error))}; see `avgzsl show slurm` for --launch") from error
    except OSError as error:
        place = error.filename or "the store"
        raise AvgzslError(f"could not write {place}: {error.strerror}; make room there or choose another --out") from error


def _last(text: str) -> str:
    """The line that says what is wrong, which commands put last."""
    return text.strip().splitlines()[-1].removeprefix("sbatch: error: ")


def _watch(tasks: "list[tuple[Job[list[JobState]], list[Watched]]]") -> Iterator[JobState]:
    """Yield runs as they end in the store, and once a task has left the queue, those of it that never will."""
    number = tasks[0][0].job_id.split("_")[0]
    absent: set[str] = set()
    try:
        log.warning("submitted to Slurm as job %s, in %d %s", number, len(tasks), "tasks" if tasks[1:] else "task")
        while tasks:
            queued = _queued()
            for task, runs in tasks:
                ended = {run.planned.run_id: end for run in runs if (end := run.end)}
                runs[:] = [run for run in runs if run.planned.run_id not in ended]
                yield from ended.values()
                if queued is not None and task.job_id not in queued:
                    if task.job_id in absent:  # twice, so that a slow file server had time to show what it left
                        yield from _left(task, runs)
                        runs.clear()
                    absent.add(task.job_id)
            tasks = [(task, runs) for task, runs in tasks if runs]
            if tasks:
                time.sleep(POLL_SECONDS)
    finally:
        if tasks:
            log.warning("Slurm job %s goes on; `scancel %s` cancels it, and the same command reads what it made", number, number)


def _left(task: "Job[list[JobState]]", runs: list[Watched]) -> Iterator[JobState]:
    """Runs that a task ended without: with the errors that it returned, if it did."""
    try:
        states = {state.run_id: state for state in task.result()} if task.paths.result_pickle.exists() else {}
    except Exception:  # whatever its work raised, for which its log has a traceback
        states = {}
    for run in runs:
        setting = run.planned.config
        missing = f"{setting.method}, seed {setting.seed}: Slurm task {task.job_id} ended without it; see {task.paths.stderr}"
        yield states.get(run.planned.run_id, JobState(run.planned.run_id, None, missing))


def _queued() -> set[str] | None:
    """The tasks of this user that wait or run; None when Slurm does not answer, which says nothing about them."""
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        log.info("squeue: %s", error)
        return None
    return set(done.stdout.split())


MEMBER = Slurm
