"""`avgzsl text import`: take over the class texts of others."""

from pathlib import Path
from typing import Annotated

import typer

from avgzsl_bench.errors import AvgzslError

EPILOG = "Example: avgzsl text import kda KDA/avgzsl_benchmark_datasets"


def command(
    origin: Annotated[str, typer.Argument(metavar="kda", help="Whose texts: kda.", autocompletion=lambda: ["kda"])],
    path: Annotated[Path, typer.Argument(help="A description file of KDA's release, or a folder that holds some.")],
) -> None:
    """Import KDA's description files as packs, for `--text kda`."""
    from avgzsl_bench import datasets
    from avgzsl_bench.text import kda_files, packs

    if origin != packs.KDA:
        raise AvgzslError(f"unknown texts {origin!r}; only KDA's are imported: `avgzsl text import kda PATH`")
    if not path.exists():
        raise AvgzslError(f"{path} is not there; give a description file of KDA's release, or a folder that holds some")
    known = {name: datasets.get(name).classes("main") for name in kda_files.SORTED}
    for pack in kda_files.read(path, known):
        typer.echo(f"{len(pack.entries)} classes of {pack.dataset}: {packs.store(pack, known[pack.dataset])}")
    typer.echo("`avgzsl run --text kda` uses them")
