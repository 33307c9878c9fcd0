"""Run jobs: do what is missing, and leave a record of every run."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from avgzsl_bench import config, identity, plugins, provenance, records
from avgzsl_bench import precision as precisions
from avgzsl_bench.claims import Busy, claimed, release_dead
from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import Evaluation, JobState, Method, Run, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import appending, read_log, sha256, write_whole
from avgzsl_bench.lockstep import Lockstep, Steps
from avgzsl_bench.protocols.gzsl import GZSL
from avgzsl_bench.text.sources import choose

log = logging.getLogger(__name__)

EPOCHS = "log.jsonl"  # in the folder of a run: what `hookspecs.epoch_finished` is told, a line an epoch
RESUMED = ("checkpoint.pt", "selection.json")  # what a run continues from; without them its epochs are counted anew


@dataclass(frozen=True)
class Options:
    """Where records go and how the device computes; none of it decides a number's identity."""

    out: Path
    device: str = "auto"
    stack: int = 0  # runs of a job that are trained at once, at most; 0 takes as many as fit the memory and pay
    compile: str = "auto"  # torch.compile: auto, on or off
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.compile not in ("auto", "on", "off"):
            raise AvgzslError(f"--compile {self.compile!r}; choose auto, on or off")


def run_job(job: Sequence[RunConfig], options: Options) -> Iterator[JobState]:
    """Do what is missing of one job, side by side; a run that fails leaves failure.json and does not stop the others."""
    device = choose_device(options.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # where streams and graphs are made
    precision = precisions.precision(job[0].precision, device)
    material = identity.Material(job[0])
    todo = {}
    for setting in job:
        planned = identity.planned(material, setting, options.out)
        if planned.done:
            _tidy(planned.folder)
            yield JobState(planned.run_id, planned.record)
        else:
            todo[planned.run_id] = planned

    @cache
    def protocol() -> GZSL:  # one for all runs, and built in the first, which reports what is wrong with the data
        return GZSL(material.splits, material.vectors, material.shared, job[0].rules, precision, device)

    runs = {run_id: _run(planned, protocol, material.splits, device) for run_id, planned in todo.items()}
    width = options.stack or len(job) * max(1, len(job[0].search))  # searched settings are stacked, too
    with precisions.products(precision.tf32), _deterministic(options.deterministic):
        for run_id, outcome in Lockstep(width, forced=bool(options.stack), compile_=options.compile).results(runs):
            yield _state(todo[run_id], outcome)


def _state(planned: identity.Plan, outcome: Path | Exception) -> JobState:
    if isinstance(outcome, Path):
        return JobState(planned.run_id, outcome)
    if isinstance(outcome, AvgzslError):
        return JobState(planned.run_id, None, str(outcome), busy=isinstance(outcome, Busy))
    # a bug, of ours or of a plugin: it keeps its traceback, and the next run its chance
    own = planned.config
    log.error("run %s of %s failed", planned.run_id, own.method, exc_info=outcome)
    return JobState(planned.run_id, None, f"{own.method}, seed {own.seed}: {type(outcome).__name__}: {outcome}")


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Only algorithms that give the same bits every time, where asked for; what has none raises an error."""
    before, only_warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises AvgzslError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(device.type)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AvgzslError(
            f"device {name!r} is not to be had here; `avgzsl doctor` lists devices, --device auto chooses"
        ) from error
    return device


def _run(planned: identity.Plan, protocol: Callable[[], GZSL], splits: Splits, device: torch.device) -> Steps[Path]:
    with claimed(planned.folder) as check:
        if planned.done:  # by another process, while this one waited its turn
            return planned.record
        if not any((planned.folder / name).is_file() for name in RESUMED):
            (planned.folder / EPOCHS).unlink(missing_ok=True)
        with appending(planned.folder / EPOCHS) as note:
            return (yield from _claimed_run(planned, protocol, splits, device, _Announcer(planned, check, note)))


class _Announcer:
    """Tells the log and the plugins about one run; plugins get copies, so that none can change what is recorded."""

    def __init__(self, planned: identity.Plan, check: Callable[[], None], note: Callable[[dict[str, Any]], None]) -> None:
        self.events = plugins.Events()
        self.check = check
        self.note = note
        self.about = {
            "run_id": planned.run_id,
            "setting_id": planned.setting_id,
            "identity": planned.identity,
            "settings": planned.config.settings,
            "folder": str(planned.folder),
        }

    def emit(self, hook: str, **arguments: Any) -> None:
        """Call an event hook about this run."""
        self.events.emit(hook, run=deepcopy(self.about), **arguments)

    def epoch(self, epoch: int, logs: dict[str, Any]) -> None:
        """Report an epoch, if the run is still this process's."""
        self.check()
        self.note({"stage": logs["stage"], "epoch": epoch, **logs})
        self.emit("epoch_finished", epoch=epoch, logs=logs)

    def environment(self, device: torch.device) -> dict[str, Any]:
        """The environment, amended by plugins; what no JSON can hold would cost the record, so it is refused now."""
        environment = provenance.environment(device)
        self.events.emit("update_environment", environment=environment)
        try:
            json.dumps(environment, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise AvgzslError(
                f"a plugin left {error} in the environment of the record; mend its update_environment hook"
            ) from error
        return environment


def _claimed_run(
    planned: identity.Plan, protocol: Callable[[], GZSL], splits: Splits, device: torch.device, announcer: _Announcer
) -> Steps[Path]:
    environment = announcer.environment(device)
    announcer.emit("run_started")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        rules = protocol()
        environment["text_vectors_sha256"] = rules.text_sha256
        evaluation = yield from rules.run(_contract(planned, device, announcer.epoch))
        record = make_record(planned, evaluation, environment, device, splits.partial)
        announcer.check()
        write_run(planned, evaluation, record)
    except Busy:  # another process has taken the run over
        raise
    except Exception as error:
        _write_failure(planned, error)
        announcer.emit("run_failed", error=error)
        if isinstance(error, torch.OutOfMemoryError):
            raise AvgzslError(f"{device} ran out of memory; use a smaller --set batch_size=…, or another --device") from error
        raise
    announcer.emit("run_finished", record=deepcopy(record))
    return planned.record


def _contract(planned: identity.Plan, device: torch.device, report: Any) -> Run:
    setting = planned.config
    kind: type[Method] = plugins.load("methods", setting.method)
    build = partial(config.settings_of, setting.method, kind)
    return Run(
        name=setting.method,
        method=kind,
        settings=build(setting.settings),
        candidates=tuple(build(setting.settings | point) for point in setting.search),
        grid=setting.search,
        seed=setting.seed,
        rules=setting.rules,
        selection=setting.selection,
        device=device,
        folder=planned.folder,
        report=report,
    )


def make_record(
    planned: identity.Plan,
    evaluation: Evaluation,
    environment: dict[str, Any],
    device: torch.device,
    partial_data: bool,
    source: str = "measured",
) -> dict[str, Any]:
    """The record of an evaluation, complete but for its decisions' hash, which `write_run` adds."""
    return {
        "schema": records.SCHEMA,
        "run_id": planned.run_id,
        "setting_id": planned.setting_id,
        "status": "partial data" if partial_data else "complete",
        "source": source,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": planned.identity,
        "settings": planned.config.settings,
        "recipe": planned.config.recipe,
        "selection": evaluation.selection,
        "metrics": evaluation.metrics,
        "per_class": evaluation.per_class,
        "cost": {**evaluation.cost, **peaks(device)},
        "environment": environment,
    }


def peaks(device: torch.device) -> dict[str, int]:
    """The most memory so far: of this process on the host, and of what it holds on a GPU."""
    try:
        import resource

        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    except ImportError:  # not a POSIX system
        host = 0
    return {
        "peak_host_bytes": host,
        "peak_device_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
    }


def write_run(planned: identity.Plan, evaluation: Evaluation, record: dict[str, Any]) -> None:
    """Decisions and weights first, the record last: its presence means done."""
    decisions = planned.folder / "decisions.safetensors"
    columns = {name: torch.from_numpy(column) for name, column in evaluation.decisions.items()}
    write_whole(decisions, to_safetensors(columns))
    if record["source"] == "measured":
        write_whole(planned.folder / "model.safetensors", to_safetensors(evaluation.weights, {"method": planned.config.method}))
    record["decisions"] = {"path": decisions.name, "sha256": sha256(decisions)}
    records.write(planned.record, record)
    _tidy(planned.folder)


def _tidy(folder: Path) -> None:
    """Remove what only an unfinished run needs, also after a kill between the record and this."""
    with suppress(OSError):  # in a store that is only read nothing can be removed, and nothing needs to be
        release_dead(folder)
        for name in ("checkpoint.pt", "failure.json"):
            (folder / name).unlink(missing_ok=True)


def epochs(folder: Path) -> list[dict[str, Any]]:
    """What the log of a run says of each epoch, in order; one that was trained again after a kill counts once, the later time.

    A line has stage, epoch, epochs, searched, losses, harmonic_mean, train_seconds and evaluate_seconds, as in
    `hookspecs.epoch_finished`. Without a log there are none; lines that are torn or of another kind are passed over.
    """
    found = {}
    for line in read_log(folder / EPOCHS):
        if line.keys() >= {"stage", "epoch", "epochs", "searched", "losses", "harmonic_mean"}:
            found[line["stage"], json.dumps(line["searched"]), line["epoch"]] = line
    return list(found.values())


def _write_failure(planned: identity.Plan, error: Exception) -> None:
    failure = {"run_id": planned.run_id, "identity": planned.identity, "error": f"{type(error).__name__}: {error}"}
    with suppress(AvgzslError):  # a full disk must not hide the error that it caused
        write_whole(planned.folder / "failure.json", json.dumps(failure, indent=1) + "\n")


def run(
    method: str | Sequence[str],
    dataset: str | Sequence[str] = "demo",
    encoder: str | Sequence[str] | None = None,
    *,
    features: str | Sequence[str] | None = None,
    split: str | None = None,
    text: str = "names",
    aspects: str | Sequence[str] = (),
    prompts: str = "",
    rules: str = "corrected",
    selection: str = "validation",
    seeds: int | Sequence[int] = 1,
    settings: Mapping[str, Any] | None = None,
    search: Mapping[str, Sequence[Any]] | None = None,
    precision: str = precisions.USUAL,
    out: str | Path = "runs",
    device: str = "auto",
    stack: int = 0,
    compile: str = "auto",
    deterministic: bool = False,
    jobs: int = 1,
    launcher: str = "local",
    launch: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Run methods as `avgzsl run` does and return their records; runs that are complete already are only read.

    Lists of methods, data sets, encoders and feature sets are run in all their combinations. `launch` has the settings of
    the launcher. With several local jobs, a script needs the guard `if __name__ == "__main__":`, as with multiprocessing.
    Raises AvgzslError for bad input and, after all the others have run, for failed runs.
    """
    choices = (split, choose(text, aspects, prompts), rules, selection, seeds, settings, search, precision)
    names, data, encoders, sets = ([given] if isinstance(given, str) else given for given in (method, dataset, encoder, features))
    wanted = config.grid(names or [], data or [], encoders, sets, *choices)
    started, options = config.launcher(launcher, jobs, launch), Options(Path(out), device, stack, compile, deterministic)
    started.check(options)
    plans = identity.plan_all(wanted, options.out)
    states = started.launch(wanted, options)
    errors = [state.error for state in states if state.record is None]
    if errors:
        raise AvgzslError("; ".join(dict.fromkeys(errors)))
    return [records.read(planned.record) for planned in plans]
