"""Runs that another process is making: waited for, and taken up again when nobody makes them any more."""

import json
import logging

from avgzsl_bench import claims
from avgzsl_bench.contracts import JobState
from avgzsl_bench.identity import Plan

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0


class Watched:
    """A run that is made elsewhere, from now on."""

    def __init__(self, planned: Plan) -> None:
        self.planned = planned
        self.failed_before = self._failure()

    def _failure(self) -> tuple[int, int] | None:
        """Tells a failure of now from one of an earlier call."""
        try:
            found = (self.planned.folder / "failure.json").stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    @property
    def end(self) -> JobState | None:
        """How it ended there; None while it has not."""
        planned = self.planned
        if planned.done:
            return JobState(planned.run_id, planned.record)
        if self._failure() in (None, self.failed_before):
            return None
        path = planned.folder / "failure.json"
        try:
            error = str(json.loads(path.read_text(encoding="utf-8"))["error"]).removeprefix("AvgzslError: ")
        except (OSError, ValueError, KeyError, TypeError):
            error = f"{planned.config.method}, seed {planned.config.seed} failed: see {path}"
        return JobState(planned.run_id, None, error)


class Waiting:
    """Runs that were found busy."""

    def __init__(self) -> None:
        self.runs: dict[str, Watched] = {}
        self.said = False

    def add(self, planned: Plan) -> None:
        """Wait for a run."""
        self.runs[planned.run_id] = Watched(planned)

    def say(self) -> None:
        """Tell the user, once, why nothing seems to happen."""
        if self.runs and not self.said:
            self.said = True
            many = f"{len(self.runs)} runs are" if len(self.runs) > 1 else "1 run is"
            who = claims.holder(next(iter(self.runs.values())).planned.folder) or "it has just ended"
            log.warning("%s being made by another process (%s); waiting for it", many, who)

    def look(self) -> tuple[list[JobState], list[Plan]]:
        """The ends of those that ended there, and those that nobody makes any more; neither is waited for from now on."""
        ends, freed = [], []
        for run_id, run in list(self.runs.items()):
            held = not run.planned.done and claims.holder(run.planned.folder)
            if held:
                continue
            del self.runs[run_id]
            if end := run.end:
                ends.append(end)
            else:
                freed.append(run.planned)
        return ends, freed
