"""`avgzsl plot classes`: per-class accuracy of two settings."""

from typing import Annotated

import typer

from avgzsl_bench.cli.plot import _options

EPILOG = "Example: avgzsl plot classes avca kda --most 10"


def command(
    names: _options.Names,
    most: Annotated[int, typer.Option(help="Classes shown of each kind, those that differ most.")] = 40,
    out: _options.Out = None,
    width: _options.Width = "column",
    records: _options.Stores = None,
) -> None:
    """Draw the per-class accuracy of two settings.

    A line goes from the first to the second setting for each class, unseen and seen classes apart, by falling gain.
    """
    from avgzsl_bench.plots import classes

    _options.say(classes.draw(_options.settings(names, records), out or (), width, most))
