"""Generalised zero-shot learning in two stages: select on validation, write it down, retrain, unseal the test set, score once.

Protocol of AVCA (Mercea et al., CVPR 2022) with what leaks or guesses removed; `--rules reference` keeps the old behaviour.
"""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avgzsl_bench import batches
from avgzsl_bench.contracts import Evaluation, Method, Protocol, Rules, Run, Settings, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole
from avgzsl_bench.lockstep import Fitting, Outcome, Steps
from avgzsl_bench.precision import Precision
from avgzsl_bench.protocols._exams import Exam, Examiner, Stage
from avgzsl_bench.recording import wait_for
from avgzsl_bench.training import Trainer

SAVING_SHARE = 20  # times as long as a checkpoint took, at least, until the next one


@dataclass
class Trial:
    """Stage 1 of one candidate: what it has found so far, written with every checkpoint."""

    index: int
    settings: Settings
    trainer: Trainer
    best: dict[str, Any] = field(default_factory=dict)
    drops: list[int] = field(default_factory=list)

    def note(self, found: dict[str, Any]) -> None:
        """Keep the first epoch with the highest harmonic mean."""
        if not self.best or found["value"] > self.best["value"]:
            self.best = found

    def state_dict(self) -> dict[str, Any]:
        """All that a resume needs."""
        return {"trainer": self.trainer.state_dict(), "best": self.best, "drops": self.drops}


class GZSL(Protocol):
    """The two-stage protocol."""

    version = 1

    def __init__(
        self,
        splits: Splits,
        text: NDArray[np.float32],
        shared: Mapping[str, tuple[int, int]],
        rules: Rules,
        precision: Precision,
        device: torch.device,
    ) -> None:
        self.examiner = Examiner(splits, text, shared, rules, device, precision.dtype)
        self.precision = precision
        self.text_sha256 = hashlib.sha256(text.tobytes()).hexdigest()

    def run(self, run: Run) -> Steps[Evaluation]:
        """Raises AvgzslError for a class without clips, a diverged loss and scores that are not numbers."""
        return _Session(self.examiner, self.precision, run).evaluate()


class _Session:
    """One run of the protocol; `folder` holds all that survives a kill: checkpoint.pt, then selection.json."""

    def __init__(self, examiner: Examiner, precision: Precision, run: Run) -> None:
        self.examiner = examiner
        self.precision = precision
        self.settings = run.candidates or (run.settings,)
        self.job = run
        self.cost: dict[str, Any] = {"train_seconds": 0.0, "evaluate_seconds": 0.0, "runs_at_once": 1, "compiled": False}
        self.checkpoint = run.folder / "checkpoint.pt"
        self.selection = run.folder / "selection.json"
        self.saving = 0.0  # seconds that the last checkpoint took
        self.saved = time.perf_counter()  # when

    def evaluate(self) -> Steps[Evaluation]:
        """Select, retrain, unseal, score."""
        chosen = self._written_selection() or (yield from self._select())
        method, stage = yield from self._retrain(chosen, self.settings[chosen["candidate"]])
        exam = self.examiner.test(self.selection)
        fit = chosen.get("classifier_epoch", 1)
        rows = yield from self._fitted(method, stage, exam)
        with self._timed("evaluate_seconds"):
            (judged,) = self.examiner.judge(method, stage, exam, self.job.seed, fits=slice(fit - 1, fit), rows=rows)
        who = "" if self.job.method.floor else f"{self.job.name}, seed {self.job.seed}"
        cost = {**self.cost, "parameters": sum(part.numel() for part in method.parameters())}
        weights = {name: value.detach().cpu().clone() for name, value in method.state_dict().items()}
        return self.examiner.evaluation(judged, exam, chosen, who, weights, cost)

    # selection (stage 1)

    def _select(self) -> Steps[dict[str, Any]]:
        on_test = self.job.selection == "test"
        if on_test:
            # the declaration that opens the test set: selected on test, and the record says so
            write_whole(self.selection, json.dumps({"split": "test", "epoch": None}))
        stage = self.examiner.stage(2 if on_test else 1)
        exam = self.examiner.test(self.selection) if on_test else self.examiner.validation()
        finished = yield from self._try(stage, exam)
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

    def _try(self, stage: Stage, exam: Exam) -> Steps[list[dict[str, Any]]]:
        """Stage 1 for every candidate, side by side: train, score validation, keep the best epoch and its bias."""
        trials = [Trial(index, settings, self._trainer(stage, settings)) for index, settings in enumerate(self.settings)]
        if state := self._restore(1):
            for trial, kept in zip(trials, state["trials"], strict=True):
                self._resume(trial.trainer, kept["trainer"])
                trial.best, trial.drops = kept["best"], kept["drops"]
        while open_ := [trial for trial in trials if not self._done(trial)]:
            losses = yield from self._train([trial.trainer for trial in open_])
            for trial, terms in zip(open_, losses, strict=True):
                yield from self._judge(trial, terms, stage, exam)
            self._save(1, lambda: {"trials": [trial.state_dict() for trial in trials]}, last=all(map(self._done, trials)))
        return [
            {**trial.best, "learning_rate_drops": [epoch for epoch in trial.drops if epoch < trial.best["epoch"]]}
            for trial in trials
        ]

    def _done(self, trial: Trial) -> bool:
        """Whether all epochs are done; an untrained method, which has none, is scored once, at epoch 0."""
        return bool(trial.best) and trial.trainer.epochs >= getattr(trial.settings, "epochs", 0)

    def _judge(self, trial: Trial, losses: dict[str, float], stage: Stage, exam: Exam) -> Steps[None]:
        """Score validation after an epoch, if it is the turn for it, and report the epoch."""
        epochs, trainer = getattr(trial.settings, "epochs", 0), trial.trainer
        value = None
        if self._is_scored(trainer.epochs, epochs, trial.settings):
            found = yield from self._examine(trainer, stage, exam)
            value = found["value"]
            trial.note(found)
            if trainer.schedule(value):
                trial.drops.append(trainer.epochs)
        self._report(1, trial.index, trainer, epochs, losses, value)

    def _is_scored(self, epoch: int, epochs: int, settings: Settings) -> bool:
        return epoch == epochs or epoch % getattr(settings, "score_every", 1) == 0

    def _examine(self, trainer: Trainer, stage: Stage, exam: Exam) -> Steps[dict[str, Any]]:
        rows = yield from self._fitted(trainer.method, stage, exam)
        with self._timed("evaluate_seconds"):
            return {"epoch": trainer.epochs, **self.examiner.select(trainer.method, stage, exam, self.job.seed, rows=rows)}

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

    def _retrain(self, chosen: dict[str, Any], settings: Settings) -> Steps[tuple[Method, Stage]]:
        stage = self.examiner.stage(2)
        trainer = self._trainer(stage, settings)
        if state := self._restore(2):
            self._resume(trainer, state["trainer"])
        follows = self.job.rules == "reference" and chosen["split"] == "validation" and trainer.schedules
        exam = self.examiner.validation() if follows else None
        while trainer.epochs < chosen["epoch"]:
            (losses,) = yield from self._train([trainer])
            epoch, value = trainer.epochs, None
            if exam and self._is_scored(epoch, chosen["epoch"], settings):
                value = (yield from self._examine(trainer, stage, exam))["value"]
                trainer.schedule(value)
            elif not exam and epoch in chosen["learning_rate_drops"]:
                trainer.drop()
            self._report(2, chosen["candidate"], trainer, chosen["epoch"], losses, value)
            self._save(2, lambda: {"trainer": trainer.state_dict()}, last=epoch == chosen["epoch"])
        if not trainer.method.turns:
            self._report(2, chosen["candidate"], trainer, 0, {}, None)
        return trainer.method, stage

    # what both stages share

    def _trainer(self, stage: Stage, settings: Settings) -> Trainer:
        # selection on test replays stage 1's trajectory in stage 2: the released KDA reports the very epoch it selects
        number = 1 if self.job.selection == "test" else stage.number
        method = self.examiner.build(self.job.method, settings, stage, self.job.seed)
        return Trainer(method, stage.pool, stage.text, self.job.seed, number, self.precision.autocast)

    def _train(self, trainers: list[Trainer]) -> Steps[list[dict[str, float]]]:
        """One epoch of each; of an untrained method nothing."""
        if not trainers[0].method.turns:
            return [{} for _ in trainers]
        outcomes = yield trainers
        self._note("train_seconds", outcomes)
        self.cost["compiled"] = bool(trainers[0].compiled)
        return [outcome.checked for outcome in outcomes]

    def _fitted(self, method: Method, stage: Stage, exam: Exam) -> Steps[Tensor | None]:
        """The rows of `prepare`, for a method that fits classifiers in it: that takes as long as training."""
        if not method.classifier_epochs:
            return None
        (outcome,) = yield [Fitting(method, batches.everything(stage.pool, stage.text), exam.text, (self.job.seed,))]
        self._note("evaluate_seconds", [outcome])
        rows: Tensor = outcome.checked
        return rows

    def _note(self, name: str, outcomes: Sequence[Outcome]) -> None:
        self.cost[name] += sum(outcome.seconds for outcome in outcomes)
        self.cost["runs_at_once"] = max(self.cost["runs_at_once"], *(outcome.at_once for outcome in outcomes))

    def _report(
        self, stage: int, candidate: int, trainer: Trainer, epochs: int, losses: dict[str, float], value: float | None
    ) -> None:
        tried = self.job.grid[candidate] if self.job.grid else {}
        logs = {"stage": stage, "epochs": epochs, "searched": tried, "losses": losses, "harmonic_mean": value}
        logs |= {name: self.cost[name] for name in ("train_seconds", "evaluate_seconds")}
        self.job.report(trainer.epochs, logs)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        wait_for(self.job.device)
        self.cost[name] += time.perf_counter() - start

    # checkpoints

    def _save(self, stage: int, state: Callable[[], dict[str, Any]], last: bool) -> None:
        """Write a checkpoint, unless that would take more than a small share of the time; the last epoch's is always written."""
        start = time.perf_counter()
        if not last and start - self.saved < SAVING_SHARE * self.saving:
            return
        buffer = io.BytesIO()
        torch.save({"stage": stage, "cost": self.cost, **state()}, buffer)
        write_whole(self.checkpoint, buffer.getvalue())
        self.saved = time.perf_counter()
        self.saving = self.saved - start

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

    def _resume(self, trainer: Trainer, state: dict[str, Any]) -> None:
        try:
            trainer.load_state_dict(state)
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise AvgzslError(f"checkpoint {self.checkpoint} does not fit this method; remove it to start again") from error


MEMBER = GZSL
