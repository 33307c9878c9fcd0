"""`avgzsl run`: train, select, score, record."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from avgzsl_bench.cli import _choices, _launching

if TYPE_CHECKING:
    from avgzsl_bench.config import RunConfig
    from avgzsl_bench.identity import Plan

EPILOG = "Example: avgzsl run --method eszsl --dataset demo"


def command(
    method: _choices.Methods,
    dataset: _choices.Datasets,
    encoder: _choices.EncodersIfAny = None,
    features: _choices.FeaturesIfAny = None,
    split: _choices.Split = None,
    text: _choices.Text = "names",
    aspects: _choices.Aspects = "",
    prompts: _choices.Prompts = "",
    combine: _choices.Combine = None,
    rules: _choices.RulesName = "corrected",
    selection: _choices.Selection = "validation",
    seeds: _choices.Seeds = 1,
    set_: _choices.Settings = None,
    search: _choices.Search = None,
    precision: _choices.Precision = "float32",
    device: _launching.Device = "auto",
    stack: _launching.Stack = 0,
    compile_: _launching.Compile = "auto",
    deterministic: _launching.Deterministic = False,
    jobs: _launching.Jobs = 1,
    launcher: _launching.Name = "local",
    launch: _launching.Settings = None,
    out: _choices.Out = Path("runs"),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would run, and stop."),
    as_json: bool = typer.Option(False, "--json", help="Print records as one JSON list."),
) -> None:
    """Train and score methods under one protocol, and leave a record of every run; a second call does only what is missing.

    Methods, encoders, data sets and feature sets are run in all their combinations, and --set goes to each of them.
    """
    from avgzsl_bench import config, runner
    from avgzsl_bench.text.sources import choose

    settings = config.parse([*(set_ or []), *([f"combine={combine}"] if combine else [])])
    texts = choose(text, aspects, prompts)
    searched = {key: values.split(",") for key, values in config.parse(search or [], "--search").items()}
    how = split, texts, rules, selection, seeds, settings, searched, precision
    options = runner.Options(out, device, stack, compile_, deterministic)
    start = _launching.start(launcher, jobs, launch, options)
    _run(start, config.grid(method, dataset, encoder, features, *how), dry_run, as_json)


def _run(start: _launching.Start, jobs: "list[tuple[RunConfig, ...]]", dry_run: bool, as_json: bool) -> None:
    from avgzsl_bench import identity

    plans = identity.plan_all(jobs, start.options.out)
    _announce(plans, dry_run, as_json)
    if dry_run:
        return
    ends = _launching.launch(start, jobs, plans)
    _finish(plans, [state.error for state in ends.values() if state.error], as_json)


def _announce(plans: "list[Plan]", dry_run: bool, as_json: bool) -> None:
    import json

    done = sum(planned.done for planned in plans)
    noun = "run" if len(plans) == 1 else "runs"
    typer.echo(f"{len(plans)} {noun}: {done} done, {len(plans) - done} to do", err=True)
    if not dry_run:
        return
    if as_json:
        rows = [_row(planned) for planned in plans]
        typer.echo(json.dumps(rows, indent=1))
        return
    for planned in plans:
        typer.echo(_planned(planned))


def _row(planned: "Plan") -> dict[str, Any]:
    own = planned.config
    ids = {"run_id": planned.run_id, "setting_id": planned.setting_id, "done": planned.done}
    return {**ids, "identity": planned.identity, "settings": own.settings, "recipe": own.recipe, "search": list(own.search)}


def _planned(planned: "Plan") -> str:
    from avgzsl_bench.precision import USUAL

    setting = planned.config
    precision = {"precision": setting.precision} if setting.precision != USUAL else {}
    chosen = {**setting.changed, **precision, **{f"encoder.{key}": value for key, value in setting.encoder_settings.items()}}
    changed = ", ".join(f"{key}={_shown(value)}" for key, value in chosen.items()) or "all settings at their defaults"
    tried = "; ".join(", ".join(f"{key}={_shown(value)}" for key, value in point.items()) for point in setting.search)
    words = f"{setting.encoder} of {planned.identity['text']}"
    where = f"{setting.method} on {setting.dataset}, {words}, seed {setting.seed}"
    searched = f"; chosen on validation among {tried}" if tried else ""
    return f"{'done' if planned.done else 'to do'}  {planned.run_id}  {where}, recipe {setting.recipe}: {changed}{searched}"


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    inner = ", ".join(f"{key}={one}" for key, one in value.items() if key != "name")
    return f"{value['name']} ({inner})" if inner else str(value["name"])


def _finish(plans: "list[Plan]", errors: list[str], as_json: bool) -> None:
    import json

    from avgzsl_bench import board, records
    from avgzsl_bench.errors import AvgzslError

    found = [records.read(planned.record) for planned in plans if planned.done]
    if as_json:
        typer.echo(json.dumps(found, indent=1))
    elif found:
        typer.echo(board.rows(found))
        for planned in plans:
            if planned.done:
                typer.echo(f"record: {planned.record}")
    if errors:
        more = f"; {len(errors) - 1} more failed, as told above" if errors[1:] else ""
        raise AvgzslError(f"{errors[0]}{more}")
