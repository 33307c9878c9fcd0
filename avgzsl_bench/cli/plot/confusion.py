"""`avgzsl plot confusion`: which unseen classes are taken for which."""

from typing import Annotated

import typer

from avgzsl_bench.cli.plot import _options

EPILOG = "Example: avgzsl plot confusion kda"


def command(
    names: _options.Names,
    joint: Annotated[bool, typer.Option("--joint", help="Let seen classes compete too, at the chosen bias.")] = False,
    out: _options.Out = None,
    width: _options.Width = "column",
    records: _options.Stores = None,
) -> None:
    """Draw which unseen classes are taken for which.

    Only unseen classes compete, unless --joint is given; the seeds of a setting are counted together.
    """
    from avgzsl_bench.plots import confusion

    _options.say(confusion.draw(_options.settings(names, records), out or (), width, joint))
