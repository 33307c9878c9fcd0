"""`avgzsl text fetch`: get an encoder's weights, or import its vectors."""

from typing import Annotated

import typer

from avgzsl_bench.cli import _choices, _complete

EPILOG = "Example: avgzsl text fetch minilm"


def command(
    encoder: Annotated[
        str,
        typer.Argument(help="Name of the encoder; `avgzsl list encoders` lists them.", autocompletion=_complete.encoders),
    ],
    set_: _choices.Set = None,
    dataset: Annotated[
        str,
        typer.Option("--dataset", help="Data set whose word vectors are imported (word2vec).", autocompletion=_complete.datasets),
    ] = "",
    source: Annotated[
        str, typer.Option("--from", help="File that is here already: word vectors (word2vec), or WavCaps' checkpoint (clap).")
    ] = "",
) -> None:
    """Fetch an encoder's weights, or import its vectors."""
    from avgzsl_bench import config, datasets, text

    data = datasets.get(dataset) if dataset else None
    given = [*(set_ or []), *([f"dataset={dataset}"] if dataset else []), *([f"path={source}"] if source else [])]
    for built in text.build(encoder, _choices.settings_of(encoder, [encoder], config.parse(given))).values():
        if data and source:
            built.encode([info.text_name for info in data.classes(data.splits[0])])  # refuses another data set's file
        typer.echo(built.fetch())
