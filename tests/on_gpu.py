"""Run all tests and benchmarks of a GPU in one call, and write the figures: python tests/on_gpu.py --out leaderboards/benchmarks.

On a machine without one, `--device cpu --rehearse` goes through the same with little of everything.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from avgzsl_bench import benchmarking, config, plugins, provenance, runner
from avgzsl_bench.files import write_whole
from avgzsl_bench.precision import PRECISIONS, products
from avgzsl_bench.significance import t_half_width

SEEDS = 5
REHEARSED = ("ale", "devise")
METHODS = ("avca", "kda", "cjme", "avgzslnet", "ale", "tcaf", "f_vaegan_d2")
STACKED = ("avca", "kda", "cjme", "avgzslnet")  # of which five seeds may cost 1.5 times one
TABLES = [(name, preset) for name in ("ucf", "vggsound", "activitynet") for preset in ("main", "cls")]  # Tables 1 and 2 of KDA
EFFECT = ("kda", "avca", "devise")  # of the precisions on HM
HALVES = 2  # stage 2 trains at most as long as stage 1


def main() -> None:
    """Everything, in the order of what is wanted most."""
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--out", type=Path, default=Path("leaderboards/benchmarks"))
    wanted.add_argument("--device", default="cuda")
    wanted.add_argument("--rehearse", action="store_true", help="two methods and few rounds, to try the script")
    given = wanted.parse_args()
    device = runner.choose_device(given.device)
    name = provenance.describe_device(device)["name"]
    about = {"synthetic": True, "environment": provenance.environment(device), "rehearsal": given.rehearse}
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    for part, make in (("tests", _tests), ("steps", _steps), ("precision", _precision), ("tables", _tables)):
        start = time.perf_counter()
        found = make(device, given.rehearse)
        write_whole(given.out / f"{part}-{slug}.json", json.dumps({**about, part: found}, indent=1) + "\n")
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)


def _measured(method: str, dataset: str, features: str, device: torch.device, rounds: int, steps: int) -> benchmarking.Bench:
    counts = {"runs": SEEDS, "rounds": rounds, "steps": steps}
    return benchmarking.measure(method, dataset, features, device=device, precision=PRECISIONS["float32"], **counts)


def _steps(device: torch.device, rehearse: bool) -> dict[str, Any]:
    """Steps at UCF's published sizes, and the two bars of a GPU."""
    made = {}
    for method in REHEARSED if rehearse else METHODS:
        found = _measured(method, "ucf", "main", device, *((1, 2) if rehearse else (5, 50)))
        lanes = {lane.name: median(lane.milliseconds) for lane in found.lanes}
        best = lanes.get("loop as a CUDA graph", lanes["loop"])
        bars = {"five_stacked_to_one": lanes["stacked"] / best, "loop_to_graph": lanes["loop"] / best}
        made[method] = {**found.as_dict(), "bars": bars}
        wanted = " (at most 1.5 wanted)" if method in STACKED and device.type == "cuda" else ""
        stacked = f"{SEEDS} stacked / one {bars['five_stacked_to_one']:.2f}{wanted}"
        said = f"{stacked}, loop / graph {bars['loop_to_graph']:.2f} (at least 3 wanted on a GPU)"
        print(f"{method}: {said}; ms: " + ", ".join(f"{way} {value:.3g}" for way, value in lanes.items()), flush=True)
    return made


def _tables(device: torch.device, rehearse: bool) -> dict[str, Any]:
    """What Tables 1 and 2 with five seeds would take, from measured steps: both stages whole, and a scoring every epoch."""
    seconds: dict[str, float] = {}
    learned = [name for name in plugins.names("methods") if plugins.load("methods", name).turns]
    for method in REHEARSED if rehearse else learned:
        for dataset, preset in TABLES[:1] if rehearse else TABLES:
            found = _measured(method, dataset, preset, device, *((1, 1) if rehearse else (2, 20)))
            (chosen,) = config.resolve(method, dataset, features=preset)
            epochs = chosen.settings["epochs"]
            lanes = {lane.name: median(lane.milliseconds) for lane in found.lanes}
            each = min(lanes["stacked"], SEEDS * lanes.get("loop as a CUDA graph", lanes["loop"]))
            scored = SEEDS * found.scoring_milliseconds * epochs / chosen.settings["score_every"]
            seconds[f"{method} {dataset} {preset}"] = (HALVES * epochs * found.batches_per_epoch * each + scored) / 1e3
    whole = sum(seconds.values())
    what = "a part of Tables 1 and 2" if rehearse else "Tables 1 and 2"
    print(f"{what} with {SEEDS} seeds, extrapolated: {whole / 60:.0f} minutes on {device}", flush=True)
    return {"seconds": seconds, "minutes": whole / 60, "extrapolated": True}


def _precision(device: torch.device, rehearse: bool) -> dict[str, Any]:
    """HM on demo by precision: mean over seeds and half its 95 % t interval."""
    with TemporaryDirectory() as fresh:  # elsewhere, records of another device would be taken for this one's
        return _effects(device, rehearse, fresh)


def _effects(device: torch.device, rehearse: bool, fresh: str) -> dict[str, Any]:
    import avgzsl_bench

    names = ["float32", "bf16", "float64", *(["tf32"] if device.type == "cuda" else [])]
    made: dict[str, dict[str, tuple[float, float]]] = {}
    for method in EFFECT[-1:] if rehearse else EFFECT:
        for precision in names:
            how = {"seeds": 2 if rehearse else SEEDS, "out": Path(fresh), "device": str(device)}
            found = avgzsl_bench.run(method, "demo", precision=precision, **how)
            values = [record["metrics"]["harmonic_mean"] for record in found]
            made.setdefault(method, {})[precision] = mean, half = fmean(values), t_half_width(values)
            print(f"{method} {precision}: HM {100 * mean:.2f} ± {100 * half:.2f}", flush=True)
    return made


def _tests(device: torch.device, rehearse: bool) -> dict[str, Any]:
    """The tests that need a GPU."""
    file = Path(__file__).with_name("test_cuda.py")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", str(file)], capture_output=True, text=True)
    last = done.stdout.strip().splitlines()[-1]
    print(last, flush=True)
    return {"returncode": done.returncode, "said": last}


if __name__ == "__main__":
    with products(False):
        main()
