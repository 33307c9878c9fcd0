"""Worker processes that take many jobs each, and a pool of them that outlives any of its workers."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection, wait

import torch

from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import JobState
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.identity import Plan
from avgzsl_bench.launchers._waiting import POLL_SECONDS, Waiting
from avgzsl_bench.runner import Options, run_job

log = logging.getLogger(__name__)

STOPPING_SECONDS = 10.0  # for a worker to release its claims, when the pool is left early

STILLBORN = 3


class Piece:
    """Runs of one job for one worker; those that end leave it."""

    def __init__(self, plans: Sequence[Plan], deaths: int = 0) -> None:
        self.plans = {planned.run_id: planned for planned in plans}
        self.deaths = deaths  # of workers that were making it


class Worker:
    """One process, from this side."""

    def __init__(self, slot: int, threads: int, options: Options) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would not survive CUDA and torch's threads
        self.slot = slot
        self.connection, far = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(far, threads, options, logging.root.level), daemon=True)
        self.process.start()
        far.close()  # so that its end is heard of
        self.ready = False
        self.piece: Piece | None = None

    def take(self, piece: Piece) -> None:
        """Make a piece. A worker that has died meanwhile is heard of like any other."""
        self.piece = piece
        try:
            self.connection.send([planned.config for planned in piece.plans.values()])
        except OSError:
            log.debug("a worker died before its next job")


class Pool:
    """As many workers as there are slots, each replaced when it dies."""

    def __init__(self, todo: Sequence[Sequence[Plan]], options: Options, size: int) -> None:
        self.todo = deque(Piece(plans) for plans in todo)
        self.options = options
        self.devices = _devices(options.device, size)
        self.threads = max(1, _cores() // size)
        self.workers: list[Worker] = []
        self.waiting = Waiting()
        self.stillborn = 0  # workers, one after the other, that died before they could take a job

    def states(self) -> Iterator[JobState]:
        """Every run's end. Left early, it stops its workers."""
        try:
            while self.todo or self.waiting.runs or self._making():
                self._hand_out()
                if not self._making():
                    self.waiting.say()
                for worker in self._heard():
                    yield from self._hear(worker)
                ends, freed = self.waiting.look()
                yield from ends
                self.todo += [Piece([planned]) for planned in freed]
        finally:
            self._stop()

    def _making(self) -> bool:
        return any(worker.piece for worker in self.workers)

    def _hand_out(self) -> None:
        idle = [worker for worker in self.workers if worker.ready and not worker.piece]
        for worker in idle[: len(self.todo)]:
            worker.take(self.todo.popleft())
        free = sorted(set(range(len(self.devices))) - {worker.slot for worker in self.workers})
        starting = sum(not worker.ready for worker in self.workers)
        for slot in free[: max(0, len(self.todo) - starting)]:
            self.workers.append(Worker(slot, self.threads, replace(self.options, device=self.devices[slot])))

    def _heard(self) -> list[Worker]:
        heard = wait([worker.connection for worker in self.workers], POLL_SECONDS if self.waiting.runs else None)
        return [worker for worker in self.workers if worker.connection in heard]

    def _hear(self, worker: Worker) -> Iterator[JobState]:
        try:
            said = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        piece = worker.piece
        if isinstance(said, JobState) and piece:
            planned = piece.plans.pop(said.run_id)
            if said.busy:
                self.waiting.add(planned)
            else:
                yield said
        elif piece:  # it is through with it; what has no end by now never began
            yield from (JobState(run_id, None, said) for run_id in piece.plans)
            worker.piece = None
        worker.ready = True
        self.stillborn = 0

    def _bury(self, worker: Worker) -> Iterator[JobState]:
        """Give the runs of a dead worker to another, each by itself; the one that kills that worker too has failed."""
        self.workers.remove(worker)
        worker.process.join()
        how = _cause(worker.process.exitcode or 0)
        piece = worker.piece
        self.stillborn += not worker.ready
        if self.stillborn >= STILLBORN:
            raise AvgzslError(
                f"worker processes end before their first job ({how}), for the reason above; a script that calls "
                'avgzsl_bench.run(jobs=…) needs the guard `if __name__ == "__main__":`'
            )
        for planned in piece.plans.values() if piece else ():
            title = f"{planned.config.method}, seed {planned.config.seed}"
            if piece and piece.deaths:
                error = f"{title}: two worker processes died of it, the last by {how}; if memory is short, use fewer --jobs"
                yield JobState(planned.run_id, None, error)
            else:
                log.warning("%s: its worker process died (%s); another takes it up", title, how)
                self.todo.append(Piece([planned], deaths=1))

    def _stop(self) -> None:
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(STOPPING_SECONDS)
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


def _devices(name: str, size: int) -> list[str]:
    """The device of each worker: GPUs are dealt out, unless one is named."""
    count = torch.cuda.device_count() if name in ("auto", "cuda") else 0
    return [f"cuda:{slot % count}" if count else name for slot in range(size)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cause(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _work(connection: Connection, threads: int, options: Options, level: int) -> None:
    """A worker's life: say that it is there, then make jobs until there is nobody to make them for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the pool stops its own
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # on the way out, claims are released
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    torch.set_num_threads(threads)
    connection.send("")
    while True:
        try:
            job: list[RunConfig] = connection.recv()
        except EOFError:
            return
        connection.send(_made(connection, job, options))


def _made(connection: Connection, job: list[RunConfig], options: Options) -> str:
    """Make one job, sending each end; returns what kept it from beginning, if anything did."""
    try:
        for state in run_job(job, options):
            connection.send(state)
    except AvgzslError as error:
        return str(error)
    except Exception as error:
        log.exception("a job of %s failed", job[0].method)
        return f"{job[0].method}: {type(error).__name__}: {error}"
    return "it was left out; this is a fault of avgzsl-bench"


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
