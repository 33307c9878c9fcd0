"""Print, in markdown, what `avgzsl bench` measured of every method: python tests/benchmarks/figures.py."""

import json
from pathlib import Path
from statistics import median
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "leaderboards" / "benchmarks"
COLUMNS = ("method", "batch", "step, ms", "epoch, s", "/ plain", "compiled / plain", "/ bare steps", "five stacked / one")


def rows() -> list[tuple[str, ...]]:
    """A row a file, the fastest step first."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*-ucf-cpu.json")]
    return [_row(each) for each in sorted(found, key=lambda each: median(_lanes(each)["loop"]))]


def _lanes(found: dict[str, Any]) -> dict[str, list[float]]:
    return {lane["name"]: lane["milliseconds"] for lane in found["lanes"]}


def _row(found: dict[str, Any]) -> tuple[str, ...]:
    lanes = _lanes(found)
    step = median(lanes["loop"])
    epoch = (found["batches_per_epoch"] * step + found["scoring_milliseconds"]) / 1e3
    pairs = [("loop", "plain eager"), ("compiled loop", "plain eager"), ("loop", "bare steps"), ("stacked", "loop")]
    ratios = [ratio(lanes[one], lanes[other]) if one in lanes else "–" for one, other in pairs]
    return (f"`{found['method']}`", str(found["batch_size"]), f"{step:.3g}", f"{epoch:.3g}", *ratios)


def ratio(one: list[float], other: list[float]) -> str:
    """Median and range of the ratios of rounds, in which both took their turn."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    for row in (COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows()):
        print(f"| {' | '.join(row)} |")
