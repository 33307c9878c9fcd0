"""Jobs one after the other in this process; and jobs cut into pieces, for workers that do so."""

from collections import deque
from collections.abc import Iterator, Sequence
from time import sleep

from avgzsl_bench import identity
from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import JobState
from avgzsl_bench.identity import Plan
from avgzsl_bench.launchers._waiting import POLL_SECONDS, Waiting
from avgzsl_bench.runner import Options, run_job


def in_turn(jobs: Sequence[Sequence[RunConfig]], options: Options) -> Iterator[JobState]:
    """One job after the other; what another process is making comes last, once that has ended or died."""
    todo, waiting, known = deque(jobs), Waiting(), set[str]()
    while todo or waiting.runs:
        if not todo:
            waiting.say()
            sleep(POLL_SECONDS)
            ends, freed = waiting.look()
            yield from ends
            known -= {planned.run_id for planned in freed}
            todo += [(planned.config,) for planned in freed]
            continue
        plans = {planned.run_id: planned for planned in identity.plan(todo.popleft(), options.out) if planned.run_id not in known}
        known |= plans.keys()
        for state in run_job([planned.config for planned in plans.values()], options) if plans else ():
            if state.busy:
                waiting.add(plans[state.run_id])
            else:
                yield state


def pieces(jobs: Sequence[Sequence[RunConfig]], options: Options, workers: int) -> tuple[list[Plan], list[list[Plan]]]:
    """The runs that are done, and the others as they are handed to workers, each once.

    The seeds of a job stay together, since they train side by side, unless there are fewer jobs than workers.
    """
    known: set[str] = set()
    done, todo = [], []
    for job in jobs:
        plans = {planned.run_id: planned for planned in identity.plan(job, options.out) if planned.run_id not in known}
        known |= plans.keys()
        done += [planned for planned in plans.values() if planned.done]
        if rest := [planned for planned in plans.values() if not planned.done]:
            todo.append(rest)
    parts = -(-workers // len(todo)) if todo else 1
    return done, [part for plans in todo for first in range(parts) if (part := plans[first::parts])]
