"""Options that verbs share, and whose setting is whose where several encoders are named."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from avgzsl_bench.cli import _complete
from avgzsl_bench.errors import AvgzslError

Text = Annotated[
    str,
    typer.Option(
        help="Class texts: names, descriptions, another pack (`avgzsl text list`), or its file.", autocompletion=_complete.texts
    ),
]
Aspects = Annotated[str, typer.Option(help="Texts of a class to use, such as name,definition; all of them if left out.")]
Prompts = Annotated[
    str,
    typer.Option(
        help="Prompt set to put around class names (`avgzsl text list`), or its file.", autocompletion=_complete.prompts
    ),
]
RulesName = Annotated[str, typer.Option("--rules", help="Rules: corrected or reference.", autocompletion=_complete.rules)]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a setting of an encoder (encoder.path=…); repeatable.")
]

# of runs: `avgzsl run`, and what asks about the runs that it would make

_METHOD = typer.Option(
    "--method", "-m", help="Method; give it again for more (`avgzsl list methods`).", autocompletion=_complete.methods
)
Methods = Annotated[list[str], _METHOD]
MethodsIfAny = Annotated[list[str] | None, _METHOD]
_DATASET = typer.Option(
    "--dataset", "-d", help="Data set; give it again for more (`avgzsl data list`).", autocompletion=_complete.datasets
)
Datasets = Annotated[list[str], _DATASET]
DatasetsIfAny = Annotated[list[str] | None, _DATASET]
EncodersIfAny = Annotated[
    list[str] | None,
    typer.Option(
        "--encoder",
        "-e",
        help="Text encoder; give it again for more. Each data set's own choice if left out.",
        autocompletion=_complete.encoders,
    ),
]
FeaturesIfAny = Annotated[
    list[str] | None, typer.Option(help="Feature set, or a short form such as main or cls; give it again for more.")
]
Split = Annotated[str | None, typer.Option(help="Split; the one that goes with the features if left out.")]
Combine = Annotated[
    str | None, typer.Option(help="Several texts of a class: mean, or set to give the method each (--set combine=…).")
]
Selection = Annotated[
    str, typer.Option(help="What selects epoch and bias; test is a reference's fault.", autocompletion=_complete.selections)
]
Precision = Annotated[str, typer.Option(help="What is computed in: float32, float64, tf32 or bf16; part of a run's identity.")]
_SEEDS = typer.Option(min=1, help="Number of seeds, counted from 0.")
Seeds = Annotated[int, _SEEDS]
SeedsIfAny = Annotated[int | None, _SEEDS]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set one setting (`avgzsl show METHOD`); repeatable.")
]
Search = Annotated[
    list[str] | None, typer.Option(metavar="KEY=A,B,C", help="Choose a setting by stage-1 validation; repeatable.")
]
Out = Annotated[Path, typer.Option(help="Folder of the records.")]


def settings_of(encoder: str, encoders: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The settings of one of the named encoders, as `text.build` takes them.

    A key is that of `avgzsl run` or of `avgzsl text fetch` (encoder.path, path); with several encoders, it names its own
    (encoder.clip.path). Raises AvgzslError for one that does not.
    """
    from avgzsl_bench.text.sources import JOIN

    parts, known = encoder.split(JOIN), {name for one in encoders for name in one.split(JOIN)}
    found: dict[str, str] = {}
    for key, value in given.items():
        head, _, rest = key.removeprefix("encoder.").partition(".")
        if not (rest and head in known):
            if len(known) > 1:
                raise AvgzslError(f"--set {key} does not say of which encoder; write encoder.{min(known)}.{head}")
            head, rest = parts[0], key.removeprefix("encoder.")
        if head in parts:
            found[rest if len(parts) == 1 else f"{head}.{rest}"] = value
    return found
