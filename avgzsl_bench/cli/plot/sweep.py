"""`avgzsl plot sweep`: numbers against one setting."""

from typing import Annotated

import typer

from avgzsl_bench.cli.plot import _options

EPILOG = "Example: avgzsl plot sweep alignment_weight kda"


def command(
    key: Annotated[str, typer.Argument(metavar="SETTING", help="Setting that the records differ in, such as alignment_weight.")],
    names: _options.Names,
    out: _options.Out = None,
    width: _options.Width = "column",
    records: _options.Stores = None,
) -> None:
    """Draw HM, U and ZSL against one setting.

    Beside them stands the validation HM that a choice goes by, and what a search has chosen. The records must differ in
    nothing else.
    """
    from avgzsl_bench.plots import sweep

    _options.say(sweep.draw(_options.settings(names, records), key, out or (), width))
