"""The command line, one file a verb."""

import os
import sys

import typer

from avgzsl_bench import __version__, plugins
from avgzsl_bench.cli import (
    audit,
    bench,
    compare,
    data,
    doctor,
    evaluate,
    leaderboard,
    list,
    plot,
    plugin,
    reproduce,
    run,
    show,
    status,
    submit,
    text,
)
from avgzsl_bench.errors import AvgzslError

INTERRUPTED = 130  # what newer releases of Typer make of Ctrl-C, without a word

app = typer.Typer(
    help="Benchmark audio-visual generalised zero-shot learning: run methods, keep records, draw leaderboards.",
    epilog="Example: avgzsl run --method eszsl --dataset demo",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", epilog=run.EPILOG)(run.command)
app.command("status", epilog=status.EPILOG)(status.command)
app.command("reproduce", epilog=reproduce.EPILOG)(reproduce.command)
app.command("evaluate", epilog=evaluate.EPILOG)(evaluate.command)
app.command("leaderboard", epilog=leaderboard.EPILOG)(leaderboard.command)
app.command("bench", epilog=bench.EPILOG)(bench.command)
app.command("compare", epilog=compare.EPILOG)(compare.command)
app.command("audit", epilog=audit.EPILOG)(audit.command)
app.command("list", epilog=list.EPILOG)(list.command)
app.command("show", epilog=show.EPILOG)(show.command)
app.command("doctor", epilog=doctor.EPILOG)(doctor.command)
app.add_typer(data.app, name="data")
app.add_typer(text.app, name="text")
app.add_typer(plot.app, name="plot")
app.add_typer(submit.app, name="submit")
app.add_typer(plugin.app, name="plugin")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"avgzsl-bench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version and exit."),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Show log messages."),
) -> None:
    import logging

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", stream=sys.stderr)


def main() -> None:
    """Run the command line; an error that is the user's to mend is one line and exit code 2."""
    plugins.Events().emit("register_commands", app=app)
    sys.exit(_guarded())


def _guarded() -> int:
    try:
        result = app(standalone_mode=False)
        if result == INTERRUPTED:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0  # verbs of plugins may return anything
    except AvgzslError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        return _fail(f"{error.filename or 'file'}: {error.strerror}; check the path, its permissions and the space left")
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; the same command continues where it stopped", INTERRUPTED)
    except Exception as error:
        # usage errors: Typer's own class moved between releases, its format_message did not
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            return _help(error.format_message())
        return _fail(error.format_message() or "see --help")


def _help(text: str) -> int:
    """A bare group is a question, not a mistake: the answer goes to stdout with exit code 0, as under --help."""
    typer.echo(text)
    return 0


def _fail(message: str, code: int = 2) -> int:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    return code
