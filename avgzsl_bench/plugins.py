"""Find, survive, name: the plugin loader and the registries of members by kind and name.

Built-ins are the files of a folder and register through the same hooks as strangers; nothing is imported to list them.
`AVGZSL_PLUGINS` switches strangers: unset loads all, empty loads none, `a,b` loads those two entry points.
"""

import difflib
import importlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

import pluggy

from avgzsl_bench import hookspecs
from avgzsl_bench.errors import AvgzslError

log = logging.getLogger(__name__)

FOLDERS = {
    "methods": "methods",
    "encoders": "text.encoders",
    "losses": "losses",
    "datasets": "datasets",
    "launchers": "launchers",
    "renderers": "board.renderers",
}
CONTRACTS = {
    "methods": "contracts:Method",
    "encoders": "contracts:TextEncoder",
    "losses": "contracts:Loss",
    "datasets": "clips:Dataset",
    "launchers": "contracts:Launcher",
    "renderers": "contracts:Renderer",
}
BUILT_IN = "built-in"


def singular(kind: str) -> str:
    """The word for one member of a kind."""
    return "loss" if kind == "losses" else kind[:-1]


class Member(NamedTuple):
    """A name of one kind, what it stands for, and the distribution it comes from ("built-in" for our own)."""

    kind: str
    name: str
    target: type | str
    distribution: str


class Plugin(NamedTuple):
    """An entry point as found: `problem` is empty when it loaded whole."""

    name: str
    distribution: str
    problem: str


class Registry(NamedTuple):
    """Everything that is registered. Of the members under one name, a built-in comes first."""

    manager: pluggy.PluginManager
    plugins: list[Plugin]
    members: dict[str, dict[str, list[Member]]]


@cache
def registry() -> Registry:
    """The registry, loaded once a process (`registry.cache_clear()` forgets it)."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(_BuiltIns(), BUILT_IN)
    found = Registry(manager, [], {kind: {} for kind in FOLDERS})
    _collect(found, BUILT_IN, BUILT_IN)
    for point in _chosen(entry_points(group=hookspecs.PROJECT)):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        found.plugins.append(Plugin(point.name, origin, _load(found, point, origin)))
    return found


class _BuiltIns:
    """Our own members, found by file name: one file is all there is to add."""

    def _register(self, kind: str, register: Callable[[str, str], None]) -> None:
        package = FOLDERS[kind]
        folder = Path(__file__).parent.joinpath(*package.split("."))
        for file in sorted(folder.glob("[!_]*.py")):
            register(file.stem, f"avgzsl_bench.{package}.{file.stem}:MEMBER")

    @hookspecs.hookimpl
    def register_methods(self, register: Callable[[str, str], None]) -> None:
        self._register("methods", register)

    @hookspecs.hookimpl
    def register_encoders(self, register: Callable[[str, str], None]) -> None:
        self._register("encoders", register)

    @hookspecs.hookimpl
    def register_losses(self, register: Callable[[str, str], None]) -> None:
        self._register("losses", register)

    @hookspecs.hookimpl
    def register_datasets(self, register: Callable[[str, str], None]) -> None:
        self._register("datasets", register)

    @hookspecs.hookimpl
    def register_launchers(self, register: Callable[[str, str], None]) -> None:
        self._register("launchers", register)

    @hookspecs.hookimpl
    def register_renderers(self, register: Callable[[str, str], None]) -> None:
        self._register("renderers", register)

    @hookspecs.hookimpl
    def published(self) -> list[Path]:
        return sorted((Path(__file__).parent / "published").glob("*.toml"))


def _chosen(points: Sequence[EntryPoint] | Any) -> Iterator[EntryPoint]:
    wanted = os.environ.get("AVGZSL_PLUGINS")
    names = None if wanted is None else {name.strip() for name in wanted.split(",")}
    yield from sorted((p for p in points if names is None or p.name in names), key=lambda p: (p.name, p.value))


def _load(found: Registry, point: EntryPoint, origin: str) -> str:
    """Import and register one stranger; whatever goes wrong is its own problem and stops nothing else."""
    if found.manager.has_plugin(point.name):
        return f"another plugin is named {point.name!r} already; remove one of the two"
    try:
        found.manager.register(point.load(), point.name)
        return _collect(found, point.name, origin)
    except (Exception, SystemExit) as error:
        log.warning("plugin %s (%s) is skipped: %s; see `avgzsl plugin list`", point.name, origin, _line(error))
        return _line(error)


def _collect(found: Registry, plugin: str, origin: str) -> str:
    """Call the registrars of one plugin; returns the first problem."""
    manager = found.manager
    problems = [f"unknown hook {name!r}" for name in _unknown_hooks(manager, plugin)]
    others = [other for name, other in manager.list_name_plugin() if name != plugin]
    for kind, members in found.members.items():

        def register(name: str, target: type | str, kind: str = kind, members: Any = members) -> None:
            members.setdefault(name, []).append(Member(kind, name, target, origin))

        try:
            manager.subset_hook_caller(f"register_{kind}", others)(register=register)
        except (Exception, SystemExit) as error:
            problems.append(f"register_{kind}: {_line(error)}")
    return "; ".join(problems)


def _unknown_hooks(manager: pluggy.PluginManager, plugin: str) -> list[str]:
    callers = manager.get_hookcallers(manager.get_plugin(plugin)) or []
    return [caller.name for caller in callers if caller.spec is None]


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def names(kind: str) -> list[str]:
    """Every registered name of a kind, sorted."""
    return sorted(registry().members[kind])


def find(kind: str, name: str) -> Member:
    """The member that a name stands for: a built-in first; two strangers with one name are an error that names both."""
    members = registry().members[kind].get(name)
    if not members:
        raise AvgzslError(unknown(singular(kind), name, names(kind), f"avgzsl list {kind}"))
    if members[0].distribution != BUILT_IN and len(members) > 1:
        owners = " and ".join(member.distribution for member in members)
        raise AvgzslError(f"{singular(kind)} {name!r} is claimed by {owners}; remove one, or choose with AVGZSL_PLUGINS")
    return members[0]


def load(kind: str, name: str) -> Any:
    """The class behind a name, imported now.

    Raises AvgzslError for an unknown or contested name, a target that cannot be imported, and a class of another kind.
    """
    member = find(kind, name)
    target = member.target
    if isinstance(target, str):
        module, _, attribute = target.partition(":")
        try:
            target = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            if member.distribution == BUILT_IN:
                raise
            raise AvgzslError(f"{singular(kind)} {name!r} of {member.distribution} cannot be loaded: {_line(error)}") from error
    home, _, name_of_contract = CONTRACTS[kind].partition(":")
    contract = getattr(importlib.import_module(f"avgzsl_bench.{home}"), name_of_contract)
    if not (isinstance(target, type) and issubclass(target, contract)):
        raise AvgzslError(f"{singular(kind)} {name!r} of {member.distribution} is {target!r}, not a {contract.__name__}")
    return target


def shadowed(member: Member) -> bool:
    """Whether a built-in of the same name hides this stranger."""
    return member.distribution != BUILT_IN and registry().members[member.kind][member.name][0].distribution == BUILT_IN


def unknown(what: str, name: str, known: Sequence[str], command: str) -> str:
    """The one line for an unknown name: near matches, and the command that lists them all."""
    return f"unknown {what} {name!r}; {near(name, known)}`{command}` lists them"


def near(name: str, known: Sequence[str]) -> str:
    """`did you mean a or b? ` for a name that is close to known ones, else nothing."""
    matches = difflib.get_close_matches(name, known, 3, 0.5)
    return f"did you mean {' or '.join(matches)}? " if matches else ""


class Events:
    """Event hooks of one run: one that raises is logged once, with its plugin's name, and left out from then on."""

    def __init__(self) -> None:
        self.muted: list[object] = []

    def emit(self, hook: str, **arguments: Any) -> list[Any]:
        """Call one hook in every plugin that is not muted, and return what they return."""
        manager = registry().manager
        results = []
        for name, plugin in manager.list_name_plugin():
            if plugin is None or plugin in self.muted:
                continue
            others = [other for _, other in manager.list_name_plugin() if other is not plugin]
            try:
                results += manager.subset_hook_caller(hook, others)(**arguments)
            except Exception as error:
                self.muted.append(plugin)
                log.warning("plugin %s failed in %s and is left out of this run: %s", name, hook, _line(error))
        return results


@contextmanager
def listening(listener: object) -> Iterator[None]:
    """Register an object's event hooks for the length of a block (progress bars, tests)."""
    manager = registry().manager
    manager.register(listener)
    try:
        yield
    finally:
        manager.unregister(listener)
