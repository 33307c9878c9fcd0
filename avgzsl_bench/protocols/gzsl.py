"""Generalised zero-shot learning in two stages: select on validation, write it down, retrain, unseal the test set, score once.

Protocol of AVCA (Mercea et al., CVPR 2022) with what leaks or guesses removed; `--rules reference` keeps the old behaviour.
"""

import io
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from avgzsl_bench import training
from avgzsl_bench.contracts import Evaluation, Method, Protocol, Run, Settings, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole
from avgzsl_bench.protocols._exams import Exam, Examiner, Stage


@dataclass
class Progress:
    """What stage 1 has found for one candidate; written with every checkpoint."""

    best: dict[str, Any] | None = None
    drops: list[int] = field(default_factory=list)

    def note(self, found: dict[str, Any]) -> None:
        """Keep the first epoch with the highest harmonic mean."""
        if self.best is None or found["value"] > self.best["value"]:
            self.best = found


class GZSL(Protocol):
    """The two-stage protocol."""

    version = 1

    def run(self, splits: Splits, text: NDArray[np.float32], shared: Mapping[str, tuple[int, int]], run: Run) -> Evaluation:
        """Raises AvgzslError for a class without clips, a diverged loss and scores that are not numbers."""
        return _Session(splits, text, shared, run).evaluate()


class _Session:
    """One run of the protocol; `folder` holds all that survives a kill: checkpoint.pt, then selection.json."""

    def __init__(self, splits: Splits, text: NDArray[np.float32], shared: Mapping[str, tuple[int, int]], run: Run) -> None:
        self.examiner = Examiner(splits, text, shared, run.rules, run.device)
        self.settings = run.candidates or (run.settings,)
        self.job = run
        self.candidate = 0  # the one that is being trained
        self.cost = {"train_seconds": 0.0, "evaluate_seconds": 0.0}
        self.checkpoint = run.folder / "checkpoint.pt"
        self.selection = run.folder / "selection.json"

    def evaluate(self) -> Evaluation:
        """Select, retrain, unseal, score."""
        chosen = self._written_selection() or self._select()
        self.candidate = chosen["candidate"]
        settings = self.settings[self.candidate]
        method, stage = self._retrain(chosen, settings)
        exam = self.examiner.test(self.selection)
        fit = chosen.get("classifier_epoch", 1)
        with self._timed("evaluate_seconds"):
            (judged,) = self.examiner.judge(method, stage, exam, self.job.seed, fits=slice(fit - 1, fit))
        who = "" if self.job.method.floor else f"{self.job.name}, seed {self.job.seed}"
        cost = {**self.cost, "parameters": sum(part.numel() for part in method.parameters())}
        weights = {name: value.detach().cpu().clone() for name, value in method.state_dict().items()}
        return self.examiner.evaluation(judged, exam, chosen, who, weights, cost)

    # selection (stage 1)

    def _select(self) -> dict[str, Any]:
        on_test = self.job.selection == "test"
        if on_test:
            # the declaration that opens the test set: selected on test, and the record says so
            write_whole(self.selection, json.dumps({"split": "test", "epoch": None}))
        stage = self.examiner.stage(2 if on_test else 1)
        exam = self.examiner.test(self.selection) if on_test else self.examiner.validation()
        state = self._restore(1)
        finished: list[dict[str, Any]] = state["finished"] if state else []
        for index in range(len(finished), len(self.settings)):
            resumed = state if state and state["candidate"] == index else None
            finished.append(self._try(index, stage, exam, finished, resumed))
        winner = max(range(len(finished)), key=lambda index: (finished[index]["value"], -index))
        chosen = {
            "split": self.job.selection,
            "criterion": "harmonic_mean",
            **finished[winner],
            "candidate": winner,
            "search": self._search(winner, finished),
        }
        write_whole(self.selection, json.dumps(chosen, indent=1, allow_nan=False) + "\n")
        return chosen

    def _try(
        self, index: int, stage: Stage, exam: Exam, finished: list[dict[str, Any]], state: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Stage 1 for one candidate: train, score validation after every epoch, keep the best epoch and its bias."""
        self.candidate, settings = index, self.settings[index]
        trainer = self._trainer(stage, settings)
        progress = Progress()
        if state and state["trainer"]:
            self._resume(trainer, state)
            progress = Progress(state["best"], state["drops"])
        epochs = getattr(settings, "epochs", 0)  # an untrained method has none
        for epoch in self._epochs(trainer, epochs):
            losses = self._train(trainer)
            value = None
            if self._is_scored(epoch, epochs, settings):
                found = self._examine(epoch, trainer, stage, exam)
                value = found["value"]
                progress.note(found)
                if trainer.schedule(value):
                    progress.drops.append(epoch)
            self._report(1, trainer, epochs, losses, value)
            extra = {"candidate": index, "best": progress.best, "drops": progress.drops, "finished": finished}
            self._save(1, trainer, extra)
        assert progress.best is not None
        drops = [epoch for epoch in progress.drops if epoch < progress.best["epoch"]]
        return {**progress.best, "learning_rate_drops": drops}

    def _is_scored(self, epoch: int, epochs: int, settings: Settings) -> bool:
        return epoch == epochs or epoch % getattr(settings, "score_every", 1) == 0

    def _examine(self, epoch: int, trainer: training.Trainer, stage: Stage, exam: Exam) -> dict[str, Any]:
        with self._timed("evaluate_seconds"):
            return {"epoch": epoch, **self.examiner.select(trainer.method, stage, exam, self.job.seed)}

    def _search(self, winner: int, finished: list[dict[str, Any]]) -> dict[str, Any] | None:
        if not self.job.candidates:
            return None
        grid = list(self.job.grid)
        return {"grid": grid, "winner": grid[winner], "values": [trial["value"] for trial in finished]}

    def _written_selection(self) -> dict[str, Any] | None:
        if not self.selection.is_file():
            return None
        try:
            chosen: dict[str, Any] = json.loads(self.selection.read_text())
            return chosen if chosen["epoch"] is not None else None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise AvgzslError(f"{self.selection} is damaged; remove its folder to start the run again") from error

    # retraining (stage 2)

    def _retrain(self, chosen: dict[str, Any], settings: Settings) -> tuple[Method, Stage]:
        stage = self.examiner.stage(2)
        trainer = self._trainer(stage, settings)
        if state := self._restore(2):
            self._resume(trainer, state)
        follows = self.job.rules == "reference" and chosen["split"] == "validation" and trainer.schedules
        exam = self.examiner.validation() if follows else None
        for epoch in self._epochs(trainer, chosen["epoch"]):
            losses = self._train(trainer)
            value = None
            if exam and self._is_scored(epoch, chosen["epoch"], settings):
                value = self._examine(epoch, trainer, stage, exam)["value"]
                trainer.schedule(value)
            elif not exam and epoch in chosen["learning_rate_drops"]:
                trainer.drop()
            self._report(2, trainer, chosen["epoch"], losses, value)
            self._save(2, trainer, {})
        return trainer.method, stage

    # what both stages share

    def _trainer(self, stage: Stage, settings: Settings) -> training.Trainer:
        # selection on test replays stage 1's trajectory in stage 2: the released KDA reports the very epoch it selects
        number = 1 if self.job.selection == "test" else stage.number
        method = self.examiner.build(self.job.method, settings, stage, self.job.seed)
        return training.Trainer(method, stage.pool, stage.text, self.job.seed, number)

    def _epochs(self, trainer: training.Trainer, epochs: int) -> Iterator[int]:
        """Completed-epoch numbers still to reach; an untrained method is scored once, at epoch 0."""
        if not trainer.method.turns:
            return iter((0,))
        return iter(range(trainer.epochs + 1, epochs + 1))

    def _train(self, trainer: training.Trainer) -> dict[str, float]:
        with self._timed("train_seconds"):
            return trainer.epoch() if trainer.method.turns else {}

    def _report(self, stage: int, trainer: training.Trainer, epochs: int, losses: dict[str, float], value: float | None) -> None:
        tried = self.job.grid[self.candidate] if self.job.grid else {}
        logs = {"stage": stage, "epochs": epochs, "searched": tried, "losses": losses, "harmonic_mean": value, **self.cost}
        self.job.report(trainer.epochs, logs)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if self.job.device.type == "cuda":
            torch.cuda.synchronize(self.job.device)
        self.cost[name] += time.perf_counter() - start

    # checkpoints

    def _save(self, stage: int, trainer: training.Trainer, extra: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save({"stage": stage, "trainer": trainer.state_dict(), "cost": self.cost, **extra}, buffer)
        write_whole(self.checkpoint, buffer.getvalue())

    def _restore(self, stage: int) -> dict[str, Any] | None:
        """The checkpoint, if it is of this stage; read to the host, since loading moves each part where it belongs."""
        if not self.checkpoint.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
            self.cost = state["cost"]
            return state if state["stage"] == stage else None
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise AvgzslError(f"checkpoint {self.checkpoint} cannot be read ({said}); remove it to start again") from error

    def _resume(self, trainer: training.Trainer, state: dict[str, Any]) -> None:
        try:
            trainer.load_state_dict(state["trainer"])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise AvgzslError(f"checkpoint {self.checkpoint} does not fit this method; remove it to start again") from error


MEMBER = GZSL
