"""`avgzsl bench`: how fast a method trains on this device."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _choices, _complete, _launching
from avgzsl_bench.cli._sections import Section, draw

if TYPE_CHECKING:
    from avgzsl_bench.benchmarking import Bench, Lane

EPILOG = "Example: avgzsl bench --method devise --dataset demo --rounds 1"


def command(
    method: Annotated[str, typer.Option("--method", "-m", help="Method.", autocompletion=_complete.methods)],
    dataset: Annotated[
        str, typer.Option("--dataset", "-d", help="Data set whose sizes are taken.", autocompletion=_complete.datasets)
    ],
    features: Annotated[str | None, typer.Option(help="Feature set, or a short form such as main or cls.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs that are stacked in the last line.")] = 5,
    set_: _choices.Settings = None,
    precision: _choices.Precision = "float32",
    device: _launching.Device = "auto",
    compile_: Annotated[bool, typer.Option("--compile", help="Measure compiled steps, too; that takes minutes.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds, in each of which every way takes its turn.")] = 5,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps a round; as many as last a second if not given.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write everything to this file, as JSON.")] = None,
) -> None:
    """Measure training steps on synthetic clips of a data set's sizes, beside a plain eager module; needs no imported data."""
    import json

    from avgzsl_bench import benchmarking, config, provenance, runner
    from avgzsl_bench.files import write_whole
    from avgzsl_bench.precision import checked, products
    from avgzsl_bench.precision import precision as precision_of

    chosen = runner.choose_device(device)
    own = precision_of(checked(precision), chosen)
    with products(own.tf32):
        found = benchmarking.measure(
            method,
            dataset,
            features,
            device=chosen,
            precision=own,
            runs=seeds,
            compiled=compile_,
            rounds=rounds,
            steps=steps,
            settings=config.parse(set_ or []),
        )
    if out:
        about = {**found.as_dict(), "precision": precision, "environment": provenance.environment(chosen)}
        write_whole(out, json.dumps(about, indent=1) + "\n")
    typer.echo(f"{method} on {chosen}, {precision}, {found.clips:,} SYNTHETIC clips of the sizes of {dataset} ({found.features})")
    _tell(found)


COLUMNS = ("way", "ms", "range", "ratio", "range", "ms/run", "epochs/min", "MiB")


def _tell(found: "Bench") -> None:
    rounds = len(found.lanes[0].milliseconds)
    typer.echo(f"batches of {found.batch_size}, {found.batches_per_epoch} an epoch, {found.parameters:,} parameters")
    typer.echo(f"{rounds} rounds of {found.steps} steps\n")
    draw([_table(found)])
    typer.echo(f"scoring all clips once: {found.scoring_milliseconds:.3g} ms")


def _table(found: "Bench") -> Section:
    rows = [_row(lane, found.batches_per_epoch) for lane in found.lanes]
    return Section("A step: median over rounds, ratio to plain eager, peak memory", rows, COLUMNS)


def _row(lane: "Lane", batches: int) -> tuple[str, ...]:
    from statistics import median

    name = f"{lane.name} ({lane.runs} runs)" if lane.runs > 1 else lane.name
    each = median(lane.milliseconds) / lane.runs
    speed = 60_000 / (each * batches)
    times, ratios = lane.milliseconds, lane.ratios
    ratio = f"{median(ratios):.2f}", f"{min(ratios):.2f}–{max(ratios):.2f}"
    return (
        name,
        f"{median(times):.3g}",
        _range(times),
        *ratio,
        f"{each:.3g}",
        f"{speed:,.0f}" if speed >= 1000 else f"{speed:.3g}",
        f"{lane.peak_bytes / 2**20:.0f}",
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3g}–{max(values):.3g}"
