"""Generalised zero-shot learning in two stages: select on validation, write it down, retrain, unseal the test set, score once.

Protocol of AVCA (Mercea et al., CVPR 2022) with what leaks or guesses removed; `--rules reference` keeps the old behaviour.
"""

import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from avgzsl_bench import calibration, metrics, training
from avgzsl_bench.contracts import Batch, ClassText, Clips, Evaluation, Method, Protocol, Run, Settings, Shapes, Splits, Training
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole

log = logging.getLogger(__name__)

SCALE_WARNING = 1.5  # an absolute bias is carried from stage 1 to stage 2: warn when the scores' scale changes by more


class Stage(NamedTuple):
    """One stage's training clips and classes, on the device."""

    number: int
    pool: training.Pool
    ids: list[int]  # ascending ids of the training classes
    text: ClassText

    def all_clips(self) -> Training:
        """Everything trained on, for methods that fit in `prepare`."""
        return Training(Batch(label=self.pool.label, audio=self.pool.audio, video=self.pool.video), self.text)


class Exam(NamedTuple):
    """Clips to score against seen and unseen classes together."""

    clips: Batch
    label: NDArray[np.int64]  # (clips,) class id
    seen: list[int]
    unseen: list[int]
    text: ClassText  # of seen and unseen classes by ascending id

    @property
    def ids(self) -> list[int]:
        """Class id of each column."""
        return sorted(self.seen + self.unseen)


@dataclass
class Progress:
    """What stage 1 has found for one candidate; written with every checkpoint."""

    best: dict[str, Any] | None = None
    drops: list[int] = field(default_factory=list)

    def note(self, epoch: int, bias: float, value: float, scale: float) -> None:
        """Keep the first epoch with the highest harmonic mean."""
        if self.best is None or value > self.best["value"]:
            self.best = {"epoch": epoch, "seen_bias": bias, "value": value, "score_scale": scale}


class GZSL(Protocol):
    """The two-stage protocol."""

    version = 1

    def run(self, splits: Splits, text: NDArray[np.float32], shared: frozenset[str], run: Run) -> Evaluation:
        """Raises AvgzslError for a class without clips, a diverged loss and scores that are not numbers."""
        return _Session(splits, text, shared, run).evaluate()


class _Session:
    """One run of the protocol; `folder` holds all that survives a kill: checkpoint.pt, then selection.json."""

    def __init__(self, splits: Splits, text: NDArray[np.float32], shared: frozenset[str], run: Run) -> None:
        self.splits = splits
        self.vectors = torch.from_numpy(text).to(run.device)  # (classes, texts, dim)
        self.shared = shared
        self.rules = run.rules
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
        exam = self._test_exam()
        with self._timed("evaluate_seconds"):
            decisions = self._decide(method, stage, exam)
        cost = {**self.cost, "parameters": sum(part.numel() for part in method.parameters())}
        weights = {name: value.detach().cpu().clone() for name, value in method.state_dict().items()}
        return Evaluation(
            self._public(chosen),
            self._metrics(decisions, exam, chosen),
            self._per_class(decisions, exam, chosen["seen_bias"]),
            decisions._asdict(),
            weights,
            cost,
        )

    # selection (stage 1)

    def _select(self) -> dict[str, Any]:
        on_test = self.job.selection == "test"
        if on_test:
            # the declaration that opens the test set: selected on test, and the record says so
            write_whole(self.selection, json.dumps({"split": "test", "epoch": None}))
        stage = self._stage(2) if on_test else self._stage(1)
        exam = self._test_exam() if on_test else self._validation_exam()
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
            with self._timed("evaluate_seconds"):
                decisions = self._decide(trainer.method, stage, exam)
                bias, value = self._calibrate(decisions, exam)
            progress.note(epoch, bias, value, calibration.score_scale(decisions))
            if trainer.schedule(value):
                progress.drops.append(epoch)
            self._report(1, trainer, epochs, losses, value)
            extra = {"candidate": index, "best": progress.best, "drops": progress.drops, "finished": finished}
            self._save(1, trainer, extra)
        assert progress.best is not None
        drops = [epoch for epoch in progress.drops if epoch < progress.best["epoch"]]
        return {**progress.best, "learning_rate_drops": drops}

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
        stage = self._stage(2)
        trainer = self._trainer(stage, settings)
        if state := self._restore(2):
            self._resume(trainer, state)
        follows = self.rules == "reference" and chosen["split"] == "validation" and trainer.method.turns
        exam = self._validation_exam() if follows else None
        for epoch in self._epochs(trainer, chosen["epoch"]):
            losses = self._train(trainer)
            value = None
            if exam:
                with self._timed("evaluate_seconds"):
                    _, value = self._calibrate(self._decide(trainer.method, stage, exam), exam)
                trainer.schedule(value)
            elif epoch in chosen["learning_rate_drops"]:
                trainer.drop()
            self._report(2, trainer, chosen["epoch"], losses, value)
            self._save(2, trainer, {})
        return trainer.method, stage

    # what both stages share

    def _stage(self, number: int) -> Stage:
        first = number == 1
        subsets = ("train",) if first else ("train", "validation_seen", "validation_unseen")
        ids = self.splits.role_ids("train") if first else self.splits.role_ids("train", "validation_unseen")
        pool = training.pool(self.splits.load(*subsets), ids, self.job.device)
        return Stage(number, pool, ids, ClassText(self.vectors[ids]))

    def _validation_exam(self) -> Exam:
        clips = self.splits.load("validation_seen", "validation_unseen")
        return self._exam(clips, self.splits.role_ids("train"), self.splits.role_ids("validation_unseen"))

    def _test_exam(self) -> Exam:
        clips = self.splits.unseal(self.selection)
        seen = self.splits.role_ids("train", "validation_unseen")
        return self._exam(clips, seen, self.splits.role_ids("test_unseen"))

    def _exam(self, clips: Clips, seen: list[int], unseen: list[int]) -> Exam:
        ids = sorted(seen + unseen)
        counts = np.bincount(training.rows_of(clips.label, ids), minlength=len(ids))
        empty = [self.splits.classes[ids[row]].name for row in np.flatnonzero(counts == 0)]
        if empty:
            raise AvgzslError(f"no clips of {', '.join(empty[:5])} to score: a mean over classes is undefined; import them")
        mask = torch.tensor([i in set(seen) for i in ids], device=self.job.device)
        return Exam(training.on_device(clips, self.job.device), clips.label, seen, unseen, ClassText(self.vectors[ids], mask))

    def _trainer(self, stage: Stage, settings: Settings) -> training.Trainer:
        shapes = Shapes(
            stage.pool.audio.shape[-1],
            stage.pool.video.shape[-1],
            self.vectors.shape[2],
            len(stage.ids),
            self.vectors.shape[1],
            self.shared,
        )
        # selection on test replays stage 1's trajectory in stage 2: the released KDA reports the very epoch it selects
        number = 1 if self.job.selection == "test" else stage.number
        method = training.build(self.job.method, settings, shapes, self.job.device, self.job.seed)
        return training.Trainer(method, stage.pool, stage.text, self.job.seed, number)

    def _epochs(self, trainer: training.Trainer, epochs: int) -> Iterator[int]:
        """Completed-epoch numbers still to reach; an untrained method is scored once, at epoch 0."""
        if not trainer.method.turns:
            return iter((0,))
        return iter(range(trainer.epochs + 1, epochs + 1))

    def _train(self, trainer: training.Trainer) -> dict[str, float]:
        with self._timed("train_seconds"):
            return trainer.epoch() if trainer.method.turns else {}

    def _decide(self, method: Method, stage: Stage, exam: Exam) -> metrics.Decisions:
        scores = training.score(method, exam.clips, stage.all_clips(), exam.text, self.job.seed)
        label = torch.from_numpy(exam.label).to(scores.device)
        return metrics.decide(scores, label, exam.ids, exam.text.seen, self.rules)

    def _calibrate(self, decisions: metrics.Decisions, exam: Exam) -> tuple[float, float]:
        """(bias, harmonic mean): the exact sweep, or the published grid under reference rules."""
        if self.rules == "reference":
            return calibration.grid_bias(decisions, exam.seen, exam.unseen)
        return calibration.best_bias(calibration.sweep(decisions, exam.seen, exam.unseen))

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

    # results

    def _public(self, chosen: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in chosen.items() if key not in ("candidate", "score_scale")}

    def _metrics(self, decisions: metrics.Decisions, exam: Exam, chosen: dict[str, Any]) -> dict[str, Any]:
        at = metrics.at_bias(decisions, chosen["seen_bias"], exam.seen, exam.unseen, self.rules)
        zero = metrics.at_bias(decisions, 0.0, exam.seen, exam.unseen, self.rules)
        curve = calibration.sweep(decisions, exam.seen, exam.unseen)
        scale = calibration.score_scale(decisions)
        self._warn_scale(chosen["score_scale"], scale)
        return {
            **at._asdict(),
            "zero_shot": metrics.zero_shot(decisions, exam.unseen),
            "ausuc": calibration.ausuc(curve),
            "at_bias_0": zero._asdict(),
            "oracle_harmonic_mean": calibration.oracle(curve),
            "score_scale": {"stage_1": chosen["score_scale"], "stage_2": scale},
        }

    def _warn_scale(self, first: float, second: float) -> None:
        small, large = sorted((first, second))
        if large > SCALE_WARNING * small and not self.job.method.floor:
            who, said = f"{self.job.method.__name__}, seed {self.job.seed}", f"{first:.3g} in stage 1, {second:.3g} in stage 2"
            log.warning("warning: %s: the scores' scale is %s, so the seen bias may not carry over (score_scale)", who, said)

    def _per_class(self, decisions: metrics.Decisions, exam: Exam, bias: float) -> dict[str, list[Any]]:
        counts = metrics.per_class(decisions, bias, exam.seen, exam.unseen, self.rules)
        return {
            "name": [self.splits.classes[i].name for i in exam.ids],
            "unseen": [i in set(exam.unseen) for i in exam.ids],
            **{key: [int(n) for n in column] for key, column in counts._asdict().items() if key != "id"},
        }


MEMBER = GZSL
