"""`avgzsl text compare`: how alike two encoders, or two packs, arrange the classes."""

from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _choices, _complete
from avgzsl_bench.cli._sections import Section, draw

if TYPE_CHECKING:
    from avgzsl_bench.text.sources import Choice

EPILOG = "Example: avgzsl text compare ucf hashed:names hashed:descriptions"
COLUMNS = ("classes", "number", "Pearson", "Spearman", "nearest shared", "by chance")
TITLE = "how alike {} and {} arrange the classes of {}: correlation of the cosines, and how many of the {} nearest they share"


def command(
    dataset: Annotated[str, typer.Argument(help="Data set.", autocompletion=_complete.datasets)],
    first: Annotated[
        str, typer.Argument(metavar="A", help="Encoder, or ENCODER:TEXT[:ASPECT+ASPECT].", autocompletion=_complete.encoders)
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The other, written likewise.", autocompletion=_complete.encoders)],
    split: Annotated[str | None, typer.Option(help="Split, which says what is unseen; the first if left out.")] = None,
    set_: _choices.Set = None,
) -> None:
    """Compare how two encoders or packs arrange the classes: the correlation of their cosines, and the nearest classes."""
    from avgzsl_bench import config, datasets
    from avgzsl_bench.text import class_text, comparing

    data = datasets.get(dataset)
    classes = data.classes(config.choose_features(data, dataset, None, split)[1])
    given, sides = config.parse(set_ or []), [_side(first), _side(second)]
    encoders = [encoder for encoder, _ in sides]
    one, other = [
        comparing.cosines(
            class_text(dataset, classes, choice, encoder, _choices.settings_of(encoder, encoders, given), "corrected")
        )
        for encoder, choice in sides
    ]
    rows = [(name, *_cells(comparing.agreement(one, other, ids))) for name, ids in comparing.groups(classes).items()]
    draw([Section(TITLE.format(first, second, dataset, comparing.NEIGHBOURS), rows, COLUMNS)])


def _side(given: str) -> "tuple[str, Choice]":
    from avgzsl_bench.text import sources

    encoder, text, aspects, *_ = [*given.split(":", 2), "", ""]
    return encoder, sources.choose(text or sources.NAMES, aspects.replace(sources.JOIN, ","))


def _cells(found: "tuple[float, ...]") -> list[str]:
    classes, *correlations, shared, chance = found
    numbers = [f"{value:.3f}" for value in correlations] + [f"{100 * value:.1f} %" for value in (shared, chance)]
    return [str(classes), *("–" if isnan(value) else cell for value, cell in zip(found[1:], numbers, strict=True))]
