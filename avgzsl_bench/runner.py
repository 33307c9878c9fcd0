"""Run jobs: identify every run by what decides its numbers, do what is missing, and leave a record of each."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from avgzsl_bench import config, datasets, plugins, provenance, records, text
from avgzsl_bench.claims import claimed, release_dead
from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import Evaluation, JobState, Method, Run, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import data_root, sha256, write_whole
from avgzsl_bench.protocols.gzsl import GZSL


@dataclass(frozen=True)
class Options:
    """Where records go and which device computes; neither decides a number's identity."""

    out: Path
    device: str = "auto"


@dataclass(frozen=True)
class Plan:
    """One run, identified before anything is computed."""

    config: RunConfig
    identity: dict[str, Any]
    run_id: str
    setting_id: str
    folder: Path

    @property
    def record(self) -> Path:
        """The record's path; its presence means done."""
        return self.folder / "record.json"

    @property
    def done(self) -> bool:
        """Whether this run is complete."""
        return self.record.is_file()


class Material:
    """Features and class text of one job, opened once for all its seeds."""

    def __init__(self, setting: RunConfig) -> None:
        self.setting = setting
        self.dataset = datasets.get(setting.dataset)
        self.method: type[Method] = plugins.load("methods", setting.method)

    @cached_property
    def splits(self) -> Splits:
        """The subsets, memory-mapped; the test ones sealed."""
        return self.dataset.open(data_root(), self.setting.features, self.setting.split)

    @cached_property
    def described(self) -> text.TextIdentity:
        """What identifies the class text, without encoding it."""
        return text.describe(**self._text_key())

    def vectors(self, device: str) -> Any:
        """Class text as the method takes it, (classes, texts, dim)."""
        table = text.class_text(**self._text_key(), device=device)
        return text.combine(table.vectors, self.setting.settings["combine"], self.setting.settings["text_normalise"])

    def _text_key(self) -> dict[str, Any]:
        chosen = self.setting
        return {
            "dataset": chosen.dataset,
            "classes": self.splits.classes,
            "source": chosen.text,
            "encoder": chosen.encoder,
            "encoder_settings": chosen.encoder_settings,
            "rules": chosen.rules,
        }

    @property
    def shared(self) -> frozenset[str]:
        """The modalities whose features live in the space of the class text."""
        spaces = self.splits.features.spaces
        return frozenset(name for name, space in spaces.items() if text.shares_space(space, self.described.space))

    def identity(self, seed: int) -> dict[str, Any]:
        """Everything but the settings that decides a run's numbers."""
        chosen, words = self.setting, self.described
        return {
            "protocol": "gzsl",
            "protocol_version": GZSL.version,
            "rules": chosen.rules,
            "selection": chosen.selection,
            "dataset": chosen.dataset,
            "dataset_revision": self.dataset.revision,
            "split": chosen.split,
            "features": chosen.features,
            "temporal": self.splits.features.temporal,
            "features_sha256": self.splits.content_sha256,
            "synthetic": self.dataset.synthetic or self.splits.synthetic,
            "method": chosen.method,
            "method_version": self.method.version,
            "form": chosen.form,
            "loss_versions": _loss_versions(chosen.settings),
            "encoder": chosen.encoder,
            "encoder_revision": words.encoder_revision,
            "encoder_settings": words.encoder_settings,
            "text": words.source,
            "text_sha256": words.text_sha256,
            "text_normalise": chosen.settings["text_normalise"],
            "combine": chosen.settings["combine"],
            "precision": "float32",
            "seed": seed,
        }


def _loss_versions(settings: Mapping[str, Any]) -> dict[str, int]:
    chosen = [value["name"] for key, value in settings.items() if key.endswith("_loss")]
    return {name: plugins.load("losses", name).version for name in chosen}


def plan(job: Sequence[RunConfig], out: Path) -> list[Plan]:
    """Identify the runs of a job. Raises AvgzslError when its data or weights are not on this machine."""
    material = Material(job[0])
    return [_plan(material, setting, out) for setting in job]


def _plan(material: Material, setting: RunConfig, out: Path) -> Plan:
    identity = material.identity(setting.seed)
    run_id, setting_id = records.ids(identity, setting.changed, list(setting.search))
    return Plan(setting, identity, run_id, setting_id, out / f"{setting.method}-{setting.dataset}-{run_id}")


def run_job(job: Sequence[RunConfig], options: Options) -> Iterator[JobState]:
    """Do what is missing of one job; a run that fails leaves failure.json and does not stop the next."""
    device = choose_device(options.device)
    material = Material(job[0])
    for setting in job:
        planned = _plan(material, setting, options.out)
        if planned.done:
            _tidy(planned.folder)
            yield JobState(planned.run_id, planned.record)
            continue
        try:
            yield JobState(planned.run_id, _run(planned, material, device))
        except AvgzslError as error:
            yield JobState(planned.run_id, None, str(error))


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises AvgzslError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AvgzslError(
            f"device {name!r} is not to be had here; `avgzsl doctor` lists devices, --device auto chooses"
        ) from error
    return device


def _run(planned: Plan, material: Material, device: torch.device) -> Path:
    events = plugins.Events()
    setting = planned.config
    about = {
        "run_id": planned.run_id,
        "setting_id": planned.setting_id,
        "identity": planned.identity,
        "settings": setting.settings,
        "folder": str(planned.folder),
    }
    with claimed(planned.folder) as beat:
        environment = provenance.environment(device)
        events.emit("update_environment", environment=environment)
        events.emit("run_started", run=about)

        def report(epoch: int, logs: dict[str, Any]) -> None:
            beat()
            events.emit("epoch_finished", run=about, epoch=epoch, logs=logs)

        try:
            evaluation = GZSL().run(
                material.splits, material.vectors(str(device)), material.shared, _contract(planned, device, report)
            )
            record = _record(planned, material, evaluation, environment, device)
            _write(planned, evaluation, record)
        except Exception as error:
            _write_failure(planned, error)
            events.emit("run_failed", run=about, error=error)
            raise
        events.emit("run_finished", run=about, record=record)
    return planned.record


def _contract(planned: Plan, device: torch.device, report: Any) -> Run:
    setting = planned.config
    kind: type[Method] = plugins.load("methods", setting.method)
    build = partial(config.settings_of, setting.method, kind)
    return Run(
        method=kind,
        settings=build(setting.settings),
        candidates=tuple(build(setting.settings | point) for point in setting.search),
        seed=setting.seed,
        rules=setting.rules,
        selection=setting.selection,
        device=device,
        folder=planned.folder,
        report=report,
    )


def _record(
    planned: Plan, material: Material, evaluation: Evaluation, environment: dict[str, Any], device: torch.device
) -> dict[str, Any]:
    return {
        "schema": records.SCHEMA,
        "run_id": planned.run_id,
        "setting_id": planned.setting_id,
        "status": "partial data" if material.splits.partial else "complete",
        "source": "measured",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": planned.identity,
        "settings": planned.config.settings,
        "recipe": planned.config.recipe,
        "selection": evaluation.selection,
        "metrics": evaluation.metrics,
        "per_class": evaluation.per_class,
        "cost": {**evaluation.cost, **_peaks(device)},
        "environment": environment,
    }


def _peaks(device: torch.device) -> dict[str, int]:
    try:
        import resource

        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    except ImportError:  # not a POSIX system
        host = 0
    return {
        "peak_host_bytes": host,
        "peak_device_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
    }


def _write(planned: Plan, evaluation: Evaluation, record: dict[str, Any]) -> None:
    """Decisions and weights first, the record last: its presence means done."""
    decisions = planned.folder / "decisions.safetensors"
    columns = {name: torch.from_numpy(column) for name, column in evaluation.decisions.items()}
    write_whole(decisions, to_safetensors(columns))
    write_whole(planned.folder / "model.safetensors", to_safetensors(evaluation.weights))
    record["decisions"] = {"path": decisions.name, "sha256": sha256(decisions)}
    records.write(planned.record, record)
    _tidy(planned.folder)


def _tidy(folder: Path) -> None:
    """Remove what only an unfinished run needs, also after a kill between the record and this."""
    release_dead(folder)
    for name in ("checkpoint.pt", "failure.json"):
        with suppress(FileNotFoundError):
            (folder / name).unlink()


def _write_failure(planned: Plan, error: Exception) -> None:
    failure = {"run_id": planned.run_id, "identity": planned.identity, "error": f"{type(error).__name__}: {error}"}
    with suppress(AvgzslError):  # a full disk must not hide the error that it caused
        write_whole(planned.folder / "failure.json", json.dumps(failure, indent=1) + "\n")


def run(
    method: str | Sequence[str],
    dataset: str = "demo",
    encoder: str | None = None,
    *,
    seeds: int | Sequence[int] = 1,
    settings: Mapping[str, Any] | None = None,
    search: Mapping[str, Sequence[Any]] | None = None,
    out: str | Path = "runs",
    device: str = "auto",
    **choices: Any,
) -> list[dict[str, Any]]:
    """Run methods as `avgzsl run` does and return their records; runs that are complete already are only read.

    `choices` are `features`, `split`, `text`, `rules` and `selection`. Raises AvgzslError for bad input and failed runs.
    """
    found = []
    for name in [method] if isinstance(method, str) else method:
        job = config.resolve(name, dataset, encoder, seeds=seeds, settings=settings, search=search, **choices)
        for state in run_job(job, Options(Path(out), device)):
            if state.record is None:
                raise AvgzslError(state.error)
            found.append(records.read(state.record))
    return found
