"""`avgzsl text describe`: have a language model describe every class, and keep what it says as a pack."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench.cli import _complete
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from avgzsl_bench.text.describing import Job, Writer

EPILOG = "Example: avgzsl text describe demo --model qwen3 --endpoint http://localhost:8000/v1 --dry-run"
SERVER_ONLY = ("endpoint", "concurrency", "timeout", "retries", "price_in", "price_out")


Dataset = Annotated[str, typer.Argument(help="Data set whose classes are described.", autocompletion=_complete.datasets)]
Endpoint = Annotated[
    str,
    typer.Option(
        metavar="URL", help="OpenAI-compatible API, such as http://localhost:8000/v1; $OPENAI_BASE_URL or OpenAI if left out."
    ),
]
Local = Annotated[
    str, typer.Option(metavar="MODEL", help="Causal model on this machine instead: a folder, or a name in the hub cache.")
]
PriceIn = Annotated[float | None, typer.Option(min=0, help="Price of a million tokens of prompts, for the estimate.")]
PriceOut = Annotated[float | None, typer.Option(min=0, help="Price of a million tokens of answers, for the estimate.")]


def command(
    context: typer.Context,
    dataset: Dataset,
    model: Annotated[str, typer.Option(help="Model behind the endpoint, as its server names it.")] = "",
    endpoint: Endpoint = "",
    local: Local = "",
    device: Annotated[str, typer.Option(help="With --local: auto, cpu, cuda or cuda:N.")] = "auto",
    name: Annotated[str, typer.Option(metavar="PACK", help="Name of the pack; made from the model's if left out.")] = "",
    about: Annotated[str, typer.Option(help="What the data set is about, in a sentence for the model.")] = "",
    tries: Annotated[int, typer.Option(min=1, help="Answers asked for a class until one can be used.")] = 3,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 4,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")] = 120.0,
    retries: Annotated[int, typer.Option(min=0, help="Further tries of a request that the server or the network fails.")] = 6,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask for no confirmation.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the estimate and the first question, and stop.")] = False,
) -> None:
    """Describe every class by a language model: what it is, looks like and sounds like; a second call asks what is missing.

    The key of a server that needs one is read from $OPENAI_API_KEY and is kept nowhere.
    """
    from avgzsl_bench import datasets
    from avgzsl_bench.text import describing

    data = datasets.get(dataset)
    _check_prices(price_in, price_out)
    given = [option for option in context.params if _is_given(context, option)]
    writer = _local(local, model, device, given) if local else _chat(model, endpoint, timeout, retries, given)
    describing.check_libraries()
    job = describing.Job(dataset, data.classes(data.splits[0]), writer, name, about)
    typer.echo(_planned(job, price_in, price_out))
    if dry_run:
        typer.echo(f"\n{next(iter(job.questions.values()))}")
        return
    if job.remaining:
        _confirm(yes)
        _ask(job, 1 if local else concurrency, tries)
    path = job.store()
    typer.echo(f"pack: {path}\ncheck it: avgzsl text lint {dataset} --text {job.name}")
    typer.echo(f"use it: avgzsl run --dataset {dataset} --text {job.name} --method kda")


def _check_prices(price_in: float | None, price_out: float | None) -> None:
    if (price_in is None) != (price_out is None):
        raise AvgzslError("an estimate of the cost takes --price-in and --price-out; give both, or neither")


def _is_given(context: typer.Context, option: str) -> bool:
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def _chat(model: str, endpoint: str, timeout: float, retries: int, given: list[str]) -> "Writer":
    from avgzsl_bench.text.describing.chat import Chat

    if not model:
        raise AvgzslError("no model is named; give --model NAME of a server's, or --local FOLDER of one on this machine")
    if "device" in given:
        raise AvgzslError("--device goes with --local; a server chooses its own")
    return Chat(model, endpoint, timeout, retries)


def _local(source: str, model: str, device: str, given: list[str]) -> "Writer":
    from avgzsl_bench import runner
    from avgzsl_bench.text.describing.local import Local

    strange = [f"--{option.replace('_', '-')}" for option in given if option in SERVER_ONLY]
    if model or strange:
        raise AvgzslError(f"{'--model' if model else strange[0]} is of a server, and --local asks none; leave one of them out")
    return Local(source, runner.choose_device(device))


def _planned(job: "Job", price_in: float | None, price_out: float | None) -> str:
    total, todo = len(job.questions), job.estimate()
    done = f" ({total - todo.requests} are in the log already)" if todo.requests < total else ""
    who = f"{total} classes of {job.dataset}{done}, by {job.writer.model} at {job.writer.host}"
    if not todo.requests:
        return f"{who}: nothing to ask"
    cost = ""
    if price_in is not None and price_out is not None:
        price = (todo.tokens_in * price_in + todo.tokens_out * price_out) / 1e6
        cost = f", which cost about {price:.2g}"
    tokens = f"about {todo.tokens_in:,} tokens in and {todo.tokens_out:,} out{cost}"
    return f"{who}: {todo.requests} requests, {tokens}; more where an answer must be asked for again"


def _ask(job: "Job", concurrency: int, tries: int) -> None:
    with _progress(len(job.remaining)) as report:
        job.ask(concurrency, tries, report)
    requests, tokens_in, tokens_out = job.spent
    counted = f", {tokens_in:,} tokens in and {tokens_out:,} out" if tokens_out else ""
    typer.echo(f"asked {requests} times{counted}; log: {job.log}")


def _confirm(yes: bool) -> None:
    try:
        agreed = yes or typer.confirm("Ask now?")
    except typer.Abort:  # also at the end of an input that is no terminal
        typer.echo(err=True)  # the question stands in this line
        agreed = False
    if not agreed:
        raise AvgzslError("nothing was asked; answer y, or give --yes")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yield what is told of each class that is over: a bar on a terminal, a line elsewhere."""
    if not sys.stderr.isatty():
        count = iter(range(1, total + 1))
        yield lambda name: typer.echo(f"[{next(count)}/{total}] {name}", err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("describing"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)
