"""`avgzsl list`: the names of everything that is registered."""

import ast
from importlib.util import find_spec
from pathlib import Path

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
    """List what is registered, by name, and the distribution that it comes from; of encoders alone, what each still needs."""
    if kind and kind not in KINDS:
        raise AvgzslError(plugins.unknown("kind", kind, KINDS, "avgzsl list"))
    if kind == "encoders":
        draw([Section(kind, _needs(), ("name", "from", "ready", "licence, or what is missing"))])
        return
    draw(Section(each, _rows(each), ("name", "from", "")) for each in ([kind] if kind else KINDS))


def _needs() -> list[tuple[str, str, str, str]]:
    from avgzsl_bench import text

    registered = plugins.registry().members["encoders"]
    return [
        (name, registered[name][0].distribution, "no" if problem else "yes", problem or licence)
        for name, licence, problem in text.readiness()
    ]


def _rows(kind: str) -> list[tuple[str, str, str]]:
    from avgzsl_bench import datasets

    registered = plugins.registry().members[kind]
    rows = [(name, registered[name][0].distribution, _remarks(registered[name])) for name in sorted(registered)]
    tables = datasets.own() if kind == "datasets" else []
    return rows + [(name, "a table of your own", "") for name in tables if name not in registered]


def _remarks(members: list[plugins.Member]) -> str:
    label = "re-implementation from the abstract" if _from_abstract(members[0]) else ""
    return "; ".join(remark for remark in (label, _rivals(members)) if remark)


def _from_abstract(member: plugins.Member) -> bool:
    """What the class says as `known_from`, read off its source: importing a method imports torch."""
    if member.kind != "methods":
        return False
    if isinstance(member.target, type):
        return getattr(member.target, "known_from", "") == "abstract"
    module, _, name = member.target.partition(":")
    body = _source(module).body
    classes = {node.name: node.body for node in body if isinstance(node, ast.ClassDef)}
    alias = f"{name} = "  # MEMBER = Class
    name = next((line.removeprefix(alias) for line in map(ast.unparse, body) if line.startswith(alias)), name)
    stated = [ast.unparse(line) for line in classes.get(name, []) if isinstance(line, ast.Assign | ast.AnnAssign)]
    return any(line.startswith("known_from") and line.endswith("= 'abstract'") for line in stated)


def _source(module: str) -> ast.Module:
    """A module's source, or an empty one where it cannot be read, which `avgzsl show` explains."""
    try:
        spec = find_spec(module)
        return ast.parse(Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else "")
    except (ImportError, OSError, ValueError, SyntaxError):
        return ast.Module([], [])


def _rivals(members: list[plugins.Member]) -> str:
    first, *others = members
    if not others:
        return ""
    owners = ", ".join(member.distribution for member in others)
    if first.distribution == plugins.BUILT_IN:
        return f"hides the one of {owners}"
    return f"also claimed by {owners}: choose with AVGZSL_PLUGINS"
