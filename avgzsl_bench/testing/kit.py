"""What a check is, which checks a member gets, and how one ends: pass, fail or skipped, with a reason."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, Literal, NamedTuple

from avgzsl_bench import plugins
from avgzsl_bench.errors import AvgzslError


class Skip(Exception):  # noqa: N818 - not an error
    """Raised by a check that does not apply, or cannot be made on this machine; its text is the reason."""


@dataclass(frozen=True)
class Check:
    """One question to one member; calling it raises AssertionError (or anything else) to fail and Skip to pass by."""

    kind: str
    name: str
    question: Callable[[Any], None]
    subject: Callable[[], Any]

    def __call__(self) -> None:
        """Ask."""
        self.question(self.subject())

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}-{self.question.__name__}"

    @property
    def title(self) -> str:
        """The question in words."""
        return self.question.__name__.replace("_", " ")


class Result(NamedTuple):
    """How a check ended; `reason` is empty when it passed."""

    check: Check
    outcome: Literal["pass", "fail", "skipped"]
    reason: str


def result_of(check: Check) -> Result:
    """Run a check. Whatever it raises is the member's failure, in one line."""
    try:
        check()
    except Skip as reason:
        return Result(check, "skipped", str(reason))
    except AssertionError as error:
        return Result(check, "fail", _line(str(error)))
    except Exception as error:
        return Result(check, "fail", _line(f"{type(error).__name__}: {error}"))
    return Result(check, "pass", "")


def _line(text: str) -> str:
    return " ".join(text.split())


def checks_of(name: str, kind: str | None = None) -> list[Check]:
    """Every check of a plugin (all its members), or of one member.

    Raises AvgzslError when neither a plugin nor a member has that name.
    """
    found = [plugin for plugin in plugins.registry().plugins if plugin.name == name and kind is None]
    checks = [Check("plugin", plugin.name, loads_whole, partial(_itself, plugin)) for plugin in found]
    return checks + [check for member in members_of(name, kind) for check in _of_member(member)]


def members_of(name: str, kind: str | None = None) -> list[plugins.Member]:
    """The members of a plugin, else the members of that name (of one kind, if said)."""
    if kind is not None and kind not in plugins.FOLDERS:
        raise AvgzslError(f"--kind {kind!r}; choose {', '.join(plugins.FOLDERS)}")
    found = plugins.registry()
    members = [m for of_kind in found.members.values() for same in of_kind.values() for m in same if kind in (None, m.kind)]
    owners = {plugin.distribution for plugin in found.plugins if plugin.name == name and kind is None}
    if owners:
        return [member for member in members if member.distribution in owners]
    named = [member for member in members if member.name == name]
    if not named:
        known = {member.name for member in members} | {plugin.name for plugin in found.plugins}
        what = "plugin or member" if kind is None else plugins.singular(kind)
        raise AvgzslError(plugins.unknown(what, name, sorted(known), "avgzsl list" if kind is None else f"avgzsl list {kind}"))
    return named


def _of_member(member: plugins.Member) -> list[Check]:
    loads = Check(member.kind, member.name, loads_by_its_name, partial(_itself, member))
    if result_of(loads).outcome == "fail":
        return [loads]
    of_kind = import_module(f"avgzsl_bench.testing.{member.kind}")
    subjects = {label: cache(make) for label, make in of_kind.subjects(member.name).items()}  # made once, when first asked
    return [loads] + [
        Check(member.kind, label, question, subject) for label, subject in subjects.items() for question in of_kind.QUESTIONS
    ]


def _itself(subject: Any) -> Any:
    return subject


def loads_whole(plugin: plugins.Plugin) -> None:
    """A plugin is imported, its hooks are known, its registrars return."""
    assert not plugin.problem, plugin.problem


def loads_by_its_name(member: plugins.Member) -> None:
    """The name leads to this member, and its target is a class of the right contract."""
    assert not plugins.shadowed(member), f"a built-in has the name {member.name!r} already and wins; choose another name"
    plugins.load(member.kind, member.name)
