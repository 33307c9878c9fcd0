"""`avgzsl text encode`: encode class texts ahead of the runs that need them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from avgzsl_bench.cli import _choices, _complete

EPILOG = "Example: avgzsl text encode demo ucf --encoder hashed"


def command(
    dataset: Annotated[list[str], typer.Argument(help="Data sets.", autocompletion=_complete.datasets)],
    encoder: Annotated[
        list[str],
        typer.Option("--encoder", "-e", help="Text encoder; give it again for more.", autocompletion=_complete.encoders),
    ],
    text: _choices.Text = "names",
    aspects: _choices.Aspects = "",
    prompts: _choices.Prompts = "",
    rules: _choices.RulesName = "corrected",
    set_: _choices.Set = None,
) -> None:
    """Encode class texts ahead into the cache, for runs without weights or a network; asks a server where the encoder is one."""
    from avgzsl_bench import config, datasets
    from avgzsl_bench.files import cache_root
    from avgzsl_bench.text import ahead, sources

    choice, given = sources.choose(text, aspects, prompts), config.parse(set_ or [])
    encoders, tasks = list(dict.fromkeys(encoder)), []
    for data in [datasets.get(name) for name in dict.fromkeys(dataset)]:
        for name in encoders:
            own = _choices.settings_of(name, encoders, given)
            tasks += ahead.plan(data.name, data.classes(data.splits[0]), choice, name, own, config.checked_rules(rules))
    with _aloud():
        for task in tasks:
            seconds = ahead.encode(task)
            what = "were in the cache" if task.held else f"encoded in {seconds:.1f} s"
            typer.echo(f"{task.dataset}, {task.label}, {task.name}: {len(task.strings)} texts {what}")
    typer.echo(f"cache: {cache_root() / 'text'}")


@contextmanager
def _aloud() -> Iterator[None]:
    """Let the encoders say how far they are."""
    log = logging.getLogger("avgzsl_bench.text")
    level = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
