"""`avgzsl plot training`: losses and harmonic mean by epoch."""

from avgzsl_bench.cli.plot import _options

EPILOG = "Example: avgzsl plot training kda"


def command(
    names: _options.Names,
    out: _options.Out = None,
    width: _options.Width = "column",
    records: _options.Stores = None,
) -> None:
    """Draw losses and validation HM by epoch.

    Learning-rate drops and the selected epoch are marked. Of several seeds the first that has a log is drawn.
    """
    from avgzsl_bench.plots import training

    _options.say(training.draw(_options.settings(names, records), out or (), width))
