"""Run jobs here: one after the other in this process, or with --jobs N on N worker processes that share cores and GPUs."""

from collections.abc import Iterator, Sequence

from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import JobState, Launcher
from avgzsl_bench.launchers._pool import Pool
from avgzsl_bench.launchers._turns import in_turn, pieces
from avgzsl_bench.runner import Options, choose_device


class Local(Launcher):
    """This machine."""

    def check(self, options: Options) -> None:
        """The device is there."""
        choose_device(options.device)

    def launch(self, jobs: Sequence[Sequence[RunConfig]], options: Options) -> Iterator[JobState]:
        """Every run, by this process or by workers."""
        if self.settings.jobs == 1:
            yield from in_turn(jobs, options)
            return
        done, todo = pieces(jobs, options, self.settings.jobs)
        yield from in_turn([[planned.config] for planned in done], options)
        yield from Pool(todo, options, self.settings.jobs).states()


MEMBER = Local
