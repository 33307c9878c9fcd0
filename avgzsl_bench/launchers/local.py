"""Run jobs one after the other in this process."""

from collections.abc import Iterator, Sequence

from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import JobState, Launcher
from avgzsl_bench.runner import Options, run_job


class Local(Launcher):
    """This process."""

    def launch(self, jobs: Sequence[Sequence[RunConfig]], options: Options) -> Iterator[JobState]:
        """One job after the other."""
        for job in jobs:
            yield from run_job(job, options)


MEMBER = Local
