"""`avgzsl plot curve`: the seen-unseen accuracy curve."""

from avgzsl_bench.cli.plot import _options

EPILOG = "Example: avgzsl plot curve kda avca"


def command(
    names: _options.Names,
    out: _options.Out = None,
    width: _options.Width = "column",
    records: _options.Stores = None,
) -> None:
    """Draw the seen-unseen accuracy curve of settings.

    The mean curve lies over the thin ones of single seeds; the chosen bias, bias 0 and the best bias on test are marked.
    """
    from avgzsl_bench.plots import curve

    _options.say(curve.draw(_options.settings(names, records), out or (), width))
