"""`avgzsl plot embedding`: t-SNE of the features and of the learned space."""

from typing import Annotated

import typer

from avgzsl_bench.cli.plot import _options

EPILOG = "Example: avgzsl plot embedding kda"


def command(
    names: _options.Names,
    classes: Annotated[
        list[str] | None, typer.Option(metavar="A,B,C", help="Classes to draw; repeatable. 5 seen and 2 unseen ones if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of t-SNE, and of classes and clips that are drawn by chance.")] = 0,
    perplexity: Annotated[float | None, typer.Option(help="Perplexity of t-SNE; 30, or what few clips allow.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Say where an encoder's weights lie (encoder.path=…).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    out: _options.Out = None,
    width: _options.Width = "column",
    records: _options.Stores = None,
) -> None:
    """Draw t-SNE of features and of the learned space.

    Audio features, video features, and what the method makes of both, with class text as squares. The run's folder must
    hold its weights, and the features must be those that it was trained on.
    """
    from avgzsl_bench import config
    from avgzsl_bench.plots import embedding

    groups, told = _options.settings(names, records), config.parse(set_ or [])
    _options.say(embedding.draw(groups, out or (), width, classes or (), seed, perplexity, told, device))
