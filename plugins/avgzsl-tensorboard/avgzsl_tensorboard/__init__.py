"""Runs in TensorBoard: what every epoch did, and at the end the settings beside the results.

Event files lie in the folder `tensorboard` of a run's own, or under $AVGZSL_TENSORBOARD in one that has the run id as its
name. There each stage, and each setting that a search tries, has a folder, so that epochs of one number never meet.
"""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zlib import crc32

from avgzsl_bench import hookimpl

ABOUT = ("method", "form", "dataset", "features", "split", "encoder", "text", "rules", "seed")
RESULTS = ("seen", "unseen", "harmonic_mean", "zero_shot", "ausuc")
_open: dict[str, tuple[Path, Any]] = {}  # run id -> the folder that is written to, and its writer


@hookimpl
def run_started(run: dict[str, Any]) -> None:
    _close(run)  # of an interrupted run of this process


@hookimpl
def epoch_finished(run: dict[str, Any], epoch: int, logs: dict[str, Any]) -> None:
    scalars = {f"loss/{name}": value for name, value in logs["losses"].items()}
    scalars |= {f"seconds/{name}": logs[f"{name}_seconds"] for name in ("train", "evaluate")}
    if logs["harmonic_mean"] is not None:
        scalars["validation/harmonic_mean"] = logs["harmonic_mean"]
    _write(run, _stage(logs), epoch, scalars)


@hookimpl
def run_finished(run: dict[str, Any], record: dict[str, Any]) -> None:
    from torch.utils.tensorboard.summary import hparams

    about = {name: run["identity"][name] for name in ABOUT}
    chosen = (record["selection"]["search"] or {}).get("winner", {})
    results = {f"test/{name}": record["metrics"][name] for name in RESULTS}
    _write(run, ".", 0, results, hparams(_flat({**about, **run["settings"], **chosen}), results))
    _close(run)


@hookimpl
def run_failed(run: dict[str, Any], error: BaseException) -> None:
    from torch.utils.tensorboard.summary import text

    _write(run, ".", 0, {}, [text("error", f"{type(error).__name__}: {error}")])
    _close(run)


def _write(run: dict[str, Any], place: str, step: int, scalars: dict[str, float], summaries: Iterable[Any] = ()) -> None:
    """Write to one folder of a run; what was written there from this step on, before the run was resumed, no longer counts."""
    from torch.utils.tensorboard import SummaryWriter

    shared = os.environ.get("AVGZSL_TENSORBOARD")
    folder = (Path(shared, run["run_id"]) if shared else Path(run["folder"], "tensorboard")) / place
    try:
        if _open.get(run["run_id"], (None,))[0] != folder:
            _close(run)
            _open[run["run_id"]] = folder, SummaryWriter(str(folder), purge_step=step)
        writer = _open[run["run_id"]][1]
        for summary in summaries:
            writer.file_writer.add_summary(summary, step)
        for name, value in scalars.items():
            writer.add_scalar(name, value, step)
        writer.flush()  # a run may be killed at any time
    except Exception:
        _close(run)  # nobody else will: a plugin that raises is left out of the rest of the run
        raise


def _close(run: dict[str, Any]) -> None:
    if found := _open.pop(run["run_id"], None):
        found[1].close()


def _stage(logs: dict[str, Any]) -> str:
    tried = ",".join(f"{key}={value}" for key, value in logs["searched"].items())
    name = re.sub(r"[^\w.,=+-]", "_", f"stage{logs['stage']}{',' if tried else ''}{tried}")
    return name if len(name) < 100 else f"{name[:90]}-{crc32(tried.encode()):08x}"


def _flat(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Settings of one level, in types that TensorBoard takes."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        inner = _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
        found |= {name: one if isinstance(one, bool | int | float | str) else json.dumps(one) for name, one in inner.items()}
    return found
