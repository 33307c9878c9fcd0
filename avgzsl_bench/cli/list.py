"""`avgzsl list`: the names of everything that is registered."""

import typer

from avgzsl_bench import plugins
from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw
from avgzsl_bench.errors import AvgzslError

EPILOG = "Example: avgzsl list methods"
KINDS = tuple(plugins.FOLDERS)


def command(
    kind: str = typer.Argument(None, help=f"One of {', '.join(KINDS)}; all of them if left out.", autocompletion=_complete.kinds),
) -> None:
    """List what is registered, by name, and the distribution that it comes from."""
    if kind and kind not in KINDS:
        raise AvgzslError(plugins.unknown("kind", kind, KINDS, "avgzsl list"))
    draw(Section(each, _rows(each), ("name", "from", "")) for each in ([kind] if kind else KINDS))


def _rows(kind: str) -> list[tuple[str, str, str]]:
    from avgzsl_bench import datasets

    registered = plugins.registry().members[kind]
    rows = [(name, registered[name][0].distribution, _rivals(registered[name])) for name in sorted(registered)]
    tables = datasets.own() if kind == "datasets" else []
    return rows + [(name, "a table of your own", "") for name in tables if name not in registered]


def _rivals(members: list[plugins.Member]) -> str:
    first, *others = members
    if not others:
        return ""
    owners = ", ".join(member.distribution for member in others)
    if first.distribution == plugins.BUILT_IN:
        return f"hides the one of {owners}"
    return f"also claimed by {owners}: choose with AVGZSL_PLUGINS"
