"""Prompt templates as data: sentences that the name of a class is put into, whose vectors are averaged.

A file of `text/prompts/`, or a user's, has `name`, `version` and `origin`, and for each data set a list of templates for each
encoder, with {} where the name goes. The vectors of the filled templates are scaled to length one, averaged, and scaled again.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avgzsl_bench import plugins
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import check_name
from avgzsl_bench.text import packs

FOLDER = Path(__file__).parent / "prompts"


class Prompts(NamedTuple):
    """Templates of one data set."""

    label: str  # name@version
    templates: dict[str, tuple[str, ...]]  # encoder -> templates


def names() -> list[str]:
    """The prompt sets that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(source: str, dataset: str, encoders: Sequence[str]) -> Prompts:
    """The templates of a prompt set (a name, or a .toml file) for a data set and the encoders of a run.

    Raises AvgzslError for an unknown set, one without templates for the data set or an encoder, and a template without {}.
    """
    path = Path(source).expanduser() if source.endswith(".toml") else FOLDER / f"{source}.toml"
    if not path.is_file():
        if source.endswith(".toml"):
            raise AvgzslError(f"prompt set {source} is no file; check the path, or name a set of `avgzsl text list`")
        raise AvgzslError(plugins.unknown("prompt set", source, names(), "avgzsl text list"))
    found = _read(path)
    tables = {key: value for key, value in found.items() if isinstance(value, dict)}
    if dataset not in tables:
        raise AvgzslError(
            f"prompt set {source!r} has no templates for {dataset}, only for {', '.join(sorted(tables))}; leave --prompts out"
        )
    own = tables[dataset]
    lacking = [name for name in encoders if name not in own]
    if lacking:
        raise AvgzslError(
            f"prompt set {source!r} has no templates for encoder {lacking[0]!r} on {dataset}, only for {', '.join(sorted(own))}"
        )
    templates = {name: _templates(path, dataset, name, own[name]) for name in encoders}
    return Prompts(f"{found['name']}@{found['version']}", templates)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(packs.decoded(path))
    except tomllib.TOMLDecodeError as error:
        raise AvgzslError(f"prompt set {path} cannot be read ({error}); give a TOML file in UTF-8") from error
    absent = [key for key in ("name", "version", "origin") if key not in found]
    if absent:
        raise AvgzslError(f"prompt set {path} lacks {absent[0]!r}; it has name, version, origin and a table for each data set")
    check_name(str(found["name"]), f"name of prompt set {path}")  # records tell it from the texts by the signs around it
    return found


def _templates(path: Path, dataset: str, encoder: str, found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not found:
        raise AvgzslError(f"prompt set {path} has no list of templates for {encoder} on {dataset}; give one")
    for template in found:
        if not isinstance(template, str) or template.count("{}") != 1:
            raise AvgzslError(f"prompt set {path}: template {template!r} ({encoder}, {dataset}) must hold {{}} once")
    return tuple(found)
