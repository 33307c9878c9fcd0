"""`avgzsl evaluate`: score a checkpoint, or a system that is not in the harness."""

from pathlib import Path
from typing import Any

import typer

from avgzsl_bench.cli import _complete

EPILOG = "Example: avgzsl evaluate --method avca --dataset ucf --checkpoint AVCA_score_ckpt_17.pt --stage1 AVCA_score.pt"


def command(
    method: str = typer.Option(None, "--method", "-m", help="Method of the authors' weights.", autocompletion=_complete.methods),
    dataset: str = typer.Option(None, "--dataset", "-d", help="Data set.", autocompletion=_complete.datasets),
    checkpoint: Path = typer.Option(None, help="Weights of stage 2: the authors' .pt, or a model.safetensors of `avgzsl run`."),
    stage1: Path = typer.Option(None, "--stage1", help="Weights of stage 1, which choose the seen bias on validation."),
    scores: Path = typer.Option(None, help="Instead of weights: a .safetensors of test and validation scores, (clips, classes)."),
    manifest: Path = typer.Option(None, help="JSON that names their clips and classes; the path of the scores with .json."),
    name: str = typer.Option(None, help="Name of the system that the scores are of."),
    bias: float = typer.Option(None, help="Declare the seen bias, instead of choosing it on validation."),
    encoder: str = typer.Option(
        None, "--encoder", "-e", help="Text encoder the weights were trained with.", autocompletion=_complete.encoders
    ),
    features: str = typer.Option(None, help="Feature set, or a short form such as main or cls."),
    split: str = typer.Option(None, help="Split; the one that goes with the features if left out."),
    text: str = typer.Option(None, help="Class texts the weights were trained with.", autocompletion=_complete.texts),
    aspects: str = typer.Option("", help="Texts of a class they were trained with, such as name,definition."),
    prompts: str = typer.Option("", help="Prompt set they were trained with.", autocompletion=_complete.prompts),
    rules: str = typer.Option(
        None, help="How the bias is searched and ties are decided: corrected or reference.", autocompletion=_complete.rules
    ),
    set_: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="A setting the weights were trained with; repeatable."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    out: Path = typer.Option(Path("runs"), help="Folder of the records."),
    as_json: bool = typer.Option(False, "--json", help="Print the record as JSON."),
) -> None:
    """Evaluate released weights, weights of a run, or given scores on the sealed test set, and leave a record that says so.

    The authors' weights are scored in the form and with the order of class texts that they were trained with; only the
    search of the bias may differ. Of weights of ours, the record beside them says all.
    """
    import json

    from avgzsl_bench import board, config, records
    from avgzsl_bench.evaluation import evaluate

    given: dict[str, Any] = {"scores": scores, "manifest": manifest, "name": name, "bias": bias, "settings": config.parse(set_)}
    chosen: dict[str, Any] = {"encoder": encoder, "features": features, "split": split, "text": text, "rules": rules}
    chosen |= {"aspects": aspects, "prompts": prompts}
    record = evaluate(method, checkpoint, stage1, dataset, **given, **chosen, out=out, device=device)
    if as_json:
        typer.echo(json.dumps(record, indent=1))
        return
    typer.echo(board.rows([record]))
    typer.echo(f"record: {records.place(out, record['identity'], record['run_id']) / 'record.json'}")
