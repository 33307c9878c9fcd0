"""`avgzsl show`: everything about one method, data set, encoder, loss, launcher or renderer."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import typer

from avgzsl_bench import datasets, plugins
from avgzsl_bench.cli import _complete
from avgzsl_bench.cli._sections import Section, draw
from avgzsl_bench.errors import AvgzslError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from avgzsl_bench.contracts import Dataset

EPILOG = "Example: avgzsl show eszsl"
SETTINGS = ("setting", "default", "allowed", "what it does")


def _names(kind: str) -> list[str]:
    return datasets.names() if kind == "datasets" else plugins.names(kind)


def command(
    name: str = typer.Argument(..., help="Name of a member of any kind (`avgzsl list`).", autocompletion=_complete.members),
) -> None:
    """Show the settings, paper and recipes of a method, or the facts about a data set, encoder or loss."""
    kinds = [kind for kind in plugins.FOLDERS if name in _names(kind)]
    if not kinds:
        raise AvgzslError(plugins.unknown("name", name, _complete.members(""), "avgzsl list"))
    for kind in kinds:
        draw(sections(kind, name))


def sections(kind: str, name: str) -> Iterator[Section]:
    """What is known of one member."""
    if kind == "datasets":
        yield from _dataset(name)
        return
    target = plugins.load(kind, name)
    origin = plugins.find(kind, name).distribution
    about = [("about", _about(target, origin)), ("from", origin)]
    details = DETAILS[kind](name, target) if kind in DETAILS else []
    yield Section(f"{plugins.singular(kind)} {name}", [*about, *details])
    if hasattr(target, "Settings"):
        fields = target.Settings.model_fields
        flag = "--launch" if kind == "launchers" else "--set"
        prefix = {"encoders": "encoder.", "losses": f"{getattr(target, 'family', '')}_loss."}.get(kind, "")
        yield Section(f"settings ({flag} {prefix}NAME=VALUE)", [_setting(*item) for item in fields.items()], SETTINGS)
    if kind == "methods":
        swappable = [key for key in fields if key.endswith("_loss")]
        yield Section("losses (--set loss=NAME)", [(key, ", ".join(_family(key.removesuffix("_loss")))) for key in swappable])
        yield Section("recipes", list(_recipes(name, target)), ("paper", "for", "settings that it states"))


def _about(target: type, origin: str) -> str:
    """The docstring of a built-in's file, which cites, or of a stranger's class, whose file may hold more than one member."""
    file, own = sys.modules[target.__module__].__doc__ or "", target.__doc__ or ""
    text = (file or own) if origin == plugins.BUILT_IN else (own or file)
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _method(name: str, target: Any) -> list[tuple[str, str]]:
    form = target.Settings.model_fields.get("form")
    abstract = target.known_from == "abstract"
    return [
        ("paper", _citation(target.paper)),
        *[("known from", "a re-implementation from the abstract: no rank, and no comparison with what is printed")] * abstract,
        ("forms", " | ".join(_choices(form.annotation)) if form else "paper"),
        ("needs", ", ".join(sorted(target.needs)) or "nothing of the clips"),
        ("seeds", "give different results" if target.seeded else "all give the same result: one run is enough"),
        ("version", f"{target.version}{', a floor: nothing is learned' if target.floor else ''}"),
    ]


def _citation(key: str) -> str:
    from avgzsl_bench import published

    papers = {paper.key: paper for paper in published.papers()}
    if key not in papers:
        return key or "none"
    paper = papers[key]
    place = " ".join(part for part in (paper.venue, paper.url) if part)
    return f"{paper.authors} ({paper.year}): {paper.title}. {place}"


def _encoder(name: str, target: Any) -> list[tuple[str, str]]:
    from avgzsl_bench import text

    try:
        ready = f"yes, {text.build(name, {})[name].revision}"
    except AvgzslError as error:
        ready = f"no: {error}"
    return [("licence", target.licence), ("extra", target.extra or "none needed"), ("weights here", ready)]


def _loss(name: str, target: Any) -> list[tuple[str, str]]:
    return [("family", target.family), ("use", f"--set loss={name}"), ("version", str(target.version))]


DETAILS = {"methods": _method, "encoders": _encoder, "losses": _loss}


def _setting(key: str, field: "FieldInfo") -> tuple[str, str, str, str]:
    return key, _plain(field.get_default(call_default_factory=True)), _allowed(field), field.description or ""


def _plain(value: Any) -> str:
    import json

    return value or "(empty)" if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _allowed(field: "FieldInfo") -> str:
    """The values that a setting takes, from its type and its bounds."""
    from avgzsl_bench.losses import LossChoice

    kind = field.annotation
    if isinstance(kind, type) and issubclass(kind, LossChoice):
        return "a loss, see below"
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = [
        f"{sign} {bound:g}"
        for item in field.metadata
        for key, sign in signs.items()
        if (bound := getattr(item, key, None)) is not None
    ]
    return " | ".join(_choices(kind)) or " ".join([getattr(kind, "__name__", str(kind)), ", ".join(bounds)]).strip()


def _choices(kind: Any) -> list[str]:
    if kind is bool:
        return ["true", "false"]
    return [str(value) for value in get_args(kind)] if get_origin(kind) is Literal else []


def _family(family: str) -> list[str]:
    return [name for name in plugins.names("losses") if plugins.load("losses", name).family == family]


def _recipes(method: str, target: Any) -> Iterator[tuple[str, ...]]:
    """What papers state for a method; of a recipe for every method, the settings that this one has."""
    from avgzsl_bench import published

    for recipe in published.recipes():
        if recipe.method not in (method, published.ANY):
            continue
        marks = dict.fromkeys(recipe.chosen_on_test, " (chosen on test)")
        own = {key: value for key, value in recipe.settings.items() if key in target.Settings.model_fields}
        stated = ", ".join(f"{key}={_plain(value)}{marks.get(key, '')}" for key, value in own.items())
        places = [place for place in (recipe.dataset, recipe.features, recipe.split, recipe.form) if place != published.ANY]
        states = "\n".join(part for part in (stated or "defaults", recipe.note) if part)
        yield f"{recipe.key}\n({recipe.source})", "\n".join(places) or "everything", states


def _dataset(name: str) -> Iterator[Section]:
    found = datasets.get(name)
    facts = [
        ("revision", found.revision),
        ("licence", found.licence),
        ("citation", found.citation),
        ("text encoder", found.encoder),
    ]
    title = f"dataset {name}{', synthetic' if found.synthetic else ''}"
    yield Section(title, [("from", _origin(name)), *facts])
    yield Section("features", list(_features(found)), ("name", "short form", "audio", "video", "a token every", "text space"))
    yield from _classes(found)


def _classes(found: "Dataset") -> Iterator[Section]:
    from avgzsl_bench.contracts import Role

    first, *others = found.splits
    by_role = {split: {role: _named(found, split, role) for role in get_args(Role)} for split in found.splits}
    roles = [role for role in get_args(Role) if any(by_role[split][role] for split in found.splits)]
    counts = [(role, *(str(len(by_role[split][role])) for split in found.splits)) for role in roles]
    yield Section("classes", counts, ("role", *found.splits))
    yield Section(f"class names, {first}", [(role, ", ".join(by_role[first][role])) for role in roles])
    for split in others:
        moved = {role: [name for name in by_role[split][role] if name not in by_role[first][role]] for role in roles}
        yield Section(f"class names, {split}: what differs", [(role, ", ".join(names)) for role, names in moved.items() if names])


def _named(found: "Dataset", split: str, role: str) -> list[str]:
    return [info.name for info in found.classes(split) if info.role == role]


def _origin(name: str) -> str:
    return plugins.find("datasets", name).distribution if name in plugins.names("datasets") else "a table of your own"


def _features(found: "Dataset") -> Iterator[tuple[str, ...]]:
    for name, widths in found.features.items():
        short = [preset for preset, (features, _) in found.presets.items() if features == name]
        spaces = ", ".join(f"{modality}: {space}" for modality, space in widths.spaces.items())
        tokens = ", ".join(f"{modality}: {seconds:g} s" for modality, seconds in widths.seconds.items())
        yield name, ", ".join(short), str(widths.audio), str(widths.video), tokens or "averaged only", spaces
