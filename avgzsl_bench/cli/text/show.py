"""`avgzsl text show`: the texts of a class, and the classes that its vectors are near to."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avgzsl_bench.cli import _choices, _complete
from avgzsl_bench.cli._sections import Section, draw
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.contracts import ClassInfo
    from avgzsl_bench.text.sources import Served

EPILOG = "Example: avgzsl text show ucf YoYo --text descriptions"
USUAL = "minilm"  # good at sentences, and its weights come as a package


def command(
    dataset: Annotated[str, typer.Argument(help="Data set.", autocompletion=_complete.datasets)],
    name: Annotated[str, typer.Argument(metavar="CLASS", help="Class, by its name or its text name.")],
    text: _choices.Text = "names",
    aspects: _choices.Aspects = "",
    prompts: _choices.Prompts = "",
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Text encoder; one that is here if left out.", autocompletion=_complete.encoders),
    ] = None,
    rules: _choices.RulesName = "corrected",
    set_: _choices.Set = None,
) -> None:
    """Show the texts of a class, and which classes its vectors are nearest to."""
    from avgzsl_bench import config, datasets
    from avgzsl_bench.text import class_text, comparing, sources

    data = datasets.get(dataset)
    classes = data.classes(data.splits[0])
    of, choice = _find(name, dataset, classes), sources.choose(text, aspects, prompts)
    asked = encoder or (sources.reference_encoder(text, None) if rules == "reference" else data.encoder)
    arguments: dict[str, Any] = {"dataset": dataset, "classes": classes, "choice": choice, "rules": config.checked_rules(rules)}
    served = sources.served(encoder=asked, **arguments)
    draw([Section(f"{classes[of].name} of {dataset}: {served.label}", _texts(served, of), ("aspect", "text"))])
    given = config.parse(set_ or [])
    others = [] if rules == "reference" else [USUAL]
    chosen = asked if encoder or given else _ready(dict.fromkeys([asked, *others]), arguments)
    if not chosen:
        return
    table = class_text(encoder=chosen, encoder_settings=_choices.settings_of(chosen, [chosen], given), **arguments)
    rows = [", ".join(f"{classes[i].name} {cosine:.2f}" for i, cosine in near) for near in comparing.neighbours(table, of)]
    titles = [*served.aspects, *(["all, averaged"] if len(rows) > len(served.aspects) else [])]
    draw([Section(f"nearest classes by {chosen}, with the cosine", list(zip(titles, rows, strict=True)), ("text", "classes"))])


def _find(name: str, dataset: str, classes: "Sequence[ClassInfo]") -> int:
    from avgzsl_bench import plugins

    ids = {known.casefold(): i for i, info in enumerate(classes) for known in (info.name, info.text_name)}
    if name.casefold() not in ids:
        known = [known for info in classes for known in dict.fromkeys((info.name, info.text_name))]
        raise AvgzslError(plugins.unknown(f"class of {dataset}", name, known, f"avgzsl show {dataset}"))
    return ids[name.casefold()]


def _texts(served: "Served", of: int) -> list[tuple[str, str]]:
    rows = list(zip(served.aspects, served.texts[of], strict=True))
    return rows + [
        (f"{encoder} prompts", f"{len(templates)}, such as {templates[0].replace('{}', served.texts[of][served.named or 0])!r}")
        for encoder, templates in served.templates.items()
    ]


def _ready(usual: Iterable[str], arguments: dict[str, Any]) -> str:
    """The first of these encoders whose weights are here; without one, what is missing is said and the texts have to do."""
    from avgzsl_bench.text import describe

    missing = []
    for encoder in usual:
        try:
            describe(encoder=encoder, encoder_settings={}, **arguments)
        except AvgzslError as error:
            missing.append(str(error))
        else:
            return encoder
    typer.echo(f"no nearest classes: {missing[-1]}", err=True)
    return ""
