"""`avgzsl plugin`: list, check and start plugins."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avgzsl_bench import plugins
from avgzsl_bench.cli import _complete

if TYPE_CHECKING:
    from avgzsl_bench.testing import Result

app = typer.Typer(help="List plugins, check what they register, start a new one.", no_args_is_help=True)


@app.command("list", epilog="Example: avgzsl plugin list")
def list_() -> None:
    """List installed plugins, what they register and what is wrong."""
    from avgzsl_bench.cli._sections import Section, draw

    found = plugins.registry()
    if not found.plugins:
        typer.echo("no plugins are installed (or AVGZSL_PLUGINS leaves them out); `avgzsl plugin new NAME` starts one")
        return
    rows = [(each.name, each.distribution, _registers(each), _state(each)) for each in found.plugins]
    draw([Section("plugins", rows, ("name", "distribution", "registers", "problem"))])


def _members(plugin: plugins.Plugin) -> list[plugins.Member]:
    kinds = plugins.registry().members.values()
    return [m for kind in kinds for same in kind.values() for m in same if m.distribution == plugin.distribution]


def _registers(plugin: plugins.Plugin) -> str:
    return ", ".join(f"{plugins.singular(member.kind)} {member.name}" for member in _members(plugin)) or "nothing"


def _state(plugin: plugins.Plugin) -> str:
    shadowed = [member.name for member in _members(plugin) if plugins.shadowed(member)]
    notes = [plugin.problem] + [f"{name} is shadowed by the built-in of that name" for name in shadowed]
    return "; ".join(filter(None, notes + [_contested(member) for member in _members(plugin) if member.name not in shadowed]))


def _contested(member: plugins.Member) -> str:
    rivals = {m.distribution for m in plugins.registry().members[member.kind][member.name]} - {member.distribution}
    return f"{member.name} is also claimed by {', '.join(sorted(rivals))}" if rivals else ""


@app.command(epilog="Example: avgzsl plugin check eszsl")
def check(
    name: Annotated[
        str,
        typer.Argument(help="A plugin (all that it registers), or one member by name.", autocompletion=_complete.checkable),
    ],
    kind: Annotated[
        str | None,
        typer.Option(help=f"Kind of the member: {', '.join(plugins.FOLDERS)}.", autocompletion=_complete.kinds),
    ] = None,
) -> None:
    """Check a plugin, or one member, against its contract.

    Ends in a table of pass, fail and skipped with reasons; the exit code is 1 if a check fails.
    """
    from rich.console import Console
    from rich.progress import track

    from avgzsl_bench.testing import checks_of, result_of

    console = Console(stderr=True)
    steps = track(checks_of(name, kind), "checking", console=console, transient=True, disable=not console.is_terminal)
    results = [result_of(step) for step in steps]
    _show(results)
    if any(result.outcome == "fail" for result in results):
        raise typer.Exit(1)


def _show(results: "list[Result]") -> None:
    from avgzsl_bench.cli._sections import Section, draw

    members = dict.fromkeys((result.check.kind, result.check.name) for result in results)
    for kind, name in members:
        own = [result for result in results if (result.check.kind, result.check.name) == (kind, name)]
        rows = [(result.outcome, result.check.title, result.reason) for result in own]
        what = plugins.singular(kind) if kind in plugins.FOLDERS else kind
        draw([Section(f"{what} {name}", rows, ("", "check", "reason"))])
    counts = {outcome: sum(result.outcome == outcome for result in results) for outcome in ("pass", "fail", "skipped")}
    typer.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))


@app.command(epilog="Example: avgzsl plugin new nearest")
def new(
    name: Annotated[str, typer.Argument(help="Name of the plugin and of its method: lower-case letters, digits and _.")],
    out: Annotated[Path, typer.Option(help="Folder in which the plugin's folder is made.")] = Path(),
) -> None:
    """Write a new plugin (a method, package file and test) that passes."""
    from avgzsl_bench.testing.template import write

    folder = write(name, out)
    typer.echo(f"wrote {folder}; next: pip install --no-deps -e {folder} && avgzsl plugin check {name}")
