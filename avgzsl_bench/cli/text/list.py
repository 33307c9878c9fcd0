"""`avgzsl text list`: the texts that a class can have."""

from typing import Annotated

import typer

from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw

EPILOG = "Example: avgzsl text list ucf"


def command(
    dataset: Annotated[
        str | None, typer.Argument(help="Data set; all of them if left out.", autocompletion=_complete.datasets)
    ] = None,
) -> None:
    """List the class texts of data sets (names and description packs) and the prompt sets for names."""
    from avgzsl_bench import datasets
    from avgzsl_bench.text import packs, prompting

    if dataset:
        datasets.get(dataset)
    rows = [(name, ", ".join(["names", *packs.names(name)])) for name in ([dataset] if dataset else datasets.names())]
    prompts = [(name,) for name in prompting.names()]
    draw([Section("class texts", rows, ("data set", "--text")), Section("prompt sets", prompts, ("--prompts",))])
