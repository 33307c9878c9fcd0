"""From what the user typed to complete run configurations: defaults < recipe < rules < --set, checked before anything starts."""

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, get_args

from avgzsl_bench import datasets, plugins, published
from avgzsl_bench import precision as precisions
from avgzsl_bench.contracts import Dataset, Launcher, Method, Rules, Settings, TrainingSettings
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.settings import validated
from avgzsl_bench.text import changed_settings
from avgzsl_bench.text.sources import NAME, Choice

FLAGS = (
    "method",
    "encoder",
    "dataset",
    "features",
    "split",
    "text",
    "aspects",
    "prompts",
    "rules",
    "selection",
    "seed",
    "seeds",
    "precision",
    "jobs",
    "launcher",
    "device",
    "out",
)

NAMES = Choice()


@dataclass(frozen=True)
class RunConfig:
    """Everything that the user decides about one run. `settings` are complete; `changed` are those that differ from defaults."""

    method: str
    encoder: str
    dataset: str
    features: str
    split: str
    settings: dict[str, Any]
    changed: dict[str, Any]
    encoder_settings: dict[str, Any]
    recipe: str
    text: Choice = NAMES
    rules: Rules = "corrected"
    selection: str = "validation"
    seed: int = 0
    search: tuple[dict[str, Any], ...] = ()  # one dict of settings a candidate
    precision: str = precisions.USUAL

    @property
    def form(self) -> str:
        """What the method's file computes: paper or reference."""
        return str(self.settings.get("form", "paper"))


def resolve(
    method: str,
    dataset: str,
    encoder: str | None = None,
    features: str | None = None,
    split: str | None = None,
    text: Choice = NAMES,
    rules: str = "corrected",
    selection: str = "validation",
    seeds: int | Sequence[int] = 1,
    settings: Mapping[str, Any] | None = None,
    search: Mapping[str, Sequence[Any]] | None = None,
    precision: str = precisions.USUAL,
) -> tuple[RunConfig, ...]:
    """One job: the configurations of one setting, one a seed.

    Raises AvgzslError for an unknown name, an unknown or impossible setting, and choices that do not go together.
    """
    kind: type[Method] = plugins.load("methods", method)
    data = datasets.get(dataset)
    chosen = choose_features(data, dataset, features, split)
    _check_choices(method, kind, data, chosen[0], rules, selection)
    given = _split_encoder(method, kind, settings or {})
    form = given.own.get("form", _form_under(kind, rules))
    recipe = published.recipe_for(method, dataset, *chosen, form)
    complete = settings_of(method, kind, _overlay(_recipe_settings(kind, recipe, form), given.own))
    _check_prompts(text, complete)
    candidates = _candidates(method, kind, complete, search or {}, given.own)
    searched = candidates[0] if candidates else {}  # their base values decide nothing
    config = RunConfig(
        method,
        encoder or data.encoder,
        dataset,
        *chosen,
        settings=complete.model_dump(),
        changed={key: value for key, value in differing(kind, complete).items() if key not in searched},
        encoder_settings=changed_settings(encoder or data.encoder, given.encoder),
        recipe=f"{recipe.key} ({recipe.source})" if recipe else "default",
        text=text,
        rules=checked_rules(rules),
        selection=selection,
        search=candidates,
        precision=precisions.checked(precision),
    )
    return tuple(replace(config, seed=seed) for seed in (_numbers(seeds) if kind.seeded else [0]))


def grid(
    methods: Sequence[str],
    data: Sequence[str],
    encoders: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    *choices: Any,
) -> list[tuple[RunConfig, ...]]:
    """The jobs of all combinations, each once; `choices` are those of `resolve` from `split` on, the same for all.

    Raises AvgzslError for a combination that is impossible, naming it where there are others.
    """
    optional: list[Sequence[str | None]] = [list(dict.fromkeys(names)) if names else [None] for names in (encoders, features)]
    wanted = [(m, d, e, f) for d, e, f, m in product(dict.fromkeys(data), optional[0], optional[1], dict.fromkeys(methods))]
    jobs = []
    for one in wanted:
        with combination(*one, among=wanted):
            jobs.append(resolve(*one, *choices))
    return jobs


@contextmanager
def combination(method: str, dataset: str, encoder: str | None, features: str | None, among: Sequence[object]) -> Iterator[None]:
    """Name the combination in an error of the block, where it is one `among` several."""
    try:
        yield
    except AvgzslError as error:
        if len(among) == 1:
            raise
        title = ", ".join(filter(None, [f"{method} on {dataset}", encoder, features and f"features {features}"]))
        raise AvgzslError(f"{title}: {error}") from error


def launcher(name: str, jobs: int = 1, given: Mapping[str, Any] | None = None) -> Launcher:
    """A launcher with `jobs` workers and its other settings. Raises AvgzslError for an unknown name or setting."""
    kind: type[Launcher] = plugins.load("launchers", name)
    if "jobs" in (given or {}):
        raise AvgzslError("the number of jobs is a flag of its own: give it as --jobs N")
    built: Launcher = kind(validated(kind.Settings, {"jobs": jobs, **(given or {})}, name, f"avgzsl show {name}"))
    return built


def checked_rules(name: str) -> Rules:
    """The rules of a name. Raises AvgzslError for others."""
    if name not in get_args(Rules):
        raise AvgzslError(f"--rules {name!r}; choose corrected or reference")
    return "reference" if name == "reference" else "corrected"


def _check_prompts(text: Choice, settings: Settings) -> None:
    if text.prompts and text.source != NAMES.source and text.aspects != (NAME,) and settings.text_normalise == "raw":
        raise AvgzslError(
            f"--prompts {text.prompts} gives class names length one, and raw descriptions are longer or shorter, so that their "
            "mean would not weigh them alike; add --set text_normalise=unit, or --aspects name"
        )


def _numbers(seeds: int | Sequence[int]) -> list[int]:
    try:
        numbers = [operator.index(seed) for seed in seeds] if isinstance(seeds, Sequence) else list(range(operator.index(seeds)))
    except TypeError:
        numbers = []
    if not numbers:
        raise AvgzslError(f"seeds={seeds!r} names no seed; give a number of seeds from 1 up, or a list of whole numbers")
    return numbers


def choose_features(data: Dataset, name: str, features: str | None, split: str | None) -> tuple[str, str]:
    """(feature set, split) from a preset such as `main`, or a feature set and a split named apart."""
    preset = features or next(iter(data.presets))
    if preset in data.presets:
        chosen, default = data.presets[preset]
        result = chosen, split or default
    else:
        result = preset, split or next((own for chosen, own in data.presets.values() if chosen == preset), data.splits[0])
    if result[0] not in data.features:
        known = [*data.presets, *data.features]
        raise AvgzslError(plugins.unknown("feature set", result[0], known, f"avgzsl show {name}"))
    if result[1] not in data.splits:
        raise AvgzslError(plugins.unknown("split", result[1], data.splits, f"avgzsl show {name}"))
    return result


def _check_choices(method: str, kind: type[Method], data: Dataset, features: str, rules: str, selection: str) -> None:
    checked_rules(rules)
    if selection not in ("validation", "test"):
        raise AvgzslError(f"--selection {selection!r}; choose validation or test")
    if selection == "test" and rules != "reference":
        raise AvgzslError("--selection test repeats a fault of a reference; it needs --rules reference")
    if "temporal" in kind.needs and not data.features[features].seconds:
        timed = [name for name, found in data.features.items() if found.seconds]
        hint = f"choose --features {' or '.join(timed)}" if timed else "choose another method"
        raise AvgzslError(f"{method} needs temporal features, and {features} of {data.name} are averaged only; {hint}")


@dataclass(frozen=True)
class _Given:
    own: dict[str, Any]
    encoder: dict[str, Any]


def _split_encoder(method: str, kind: type[Method], settings: Mapping[str, Any]) -> _Given:
    """Sort assignments into the method's and the encoder's, with `loss` read as the field of its family."""
    own: dict[str, Any] = {}
    encoder: dict[str, Any] = {}
    for key, value in settings.items():
        head, _, rest = key.partition(".")
        if key in FLAGS:
            raise AvgzslError(f"{key!r} is a flag, not a setting: give it as --{'seeds' if key == 'seed' else key}")
        if head == "encoder":
            encoder[rest] = value
        else:
            name = _loss_field(method, kind, settings) if head == "loss" else head
            _assign(own, f"{name}.{rest}" if rest else name, value)
    return _Given(own, encoder)


def _assign(target: dict[str, Any], key: str, value: Any) -> None:
    head, _, rest = key.partition(".")
    if rest:
        inner = target.setdefault(head, {})
        target[head] = {**({"name": inner} if isinstance(inner, str) else inner), rest: value}
    elif isinstance(target.get(head), dict) and isinstance(value, str):
        target[head] = {**target[head], "name": value}
    elif head in target:
        also = f" (`loss` stands for it when it names a {head.removesuffix('_loss')} loss)" if head.endswith("_loss") else ""
        raise AvgzslError(f"setting {head!r} is given twice{also}; give it once")
    else:
        target[head] = value


def _loss_field(method: str, kind: type[Method], settings: Mapping[str, Any]) -> str:
    fields = [name for name in kind.Settings.model_fields if name.endswith("_loss")]
    if "loss" in settings:
        field = f"{plugins.load('losses', settings['loss']).family}_loss"
        if field not in fields:
            family, takes = field.removesuffix("_loss"), " and ".join(name.removesuffix("_loss") for name in fields)
            raise AvgzslError(
                f"loss {settings['loss']!r} is of the {family} family; {method} takes {takes or 'no swappable'} losses"
            )
        return field
    if len(fields) != 1:
        raise AvgzslError(f"`loss.…` does not say which loss of {method}: {', '.join(fields) or 'it has none'}; name the field")
    return fields[0]


def _overlay(values: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(values)
    for key, value in given.items():
        below = result.get(key)
        if isinstance(value, dict) and "name" not in value:
            value = {**({"name": below} if isinstance(below, str) else below or {}), **value}
        result[key] = value
    return result


def _form_under(kind: type[Method], rules: str) -> str:
    return "reference" if rules == "reference" and "form" in kind.Settings.model_fields else "paper"


def _recipe_settings(kind: type[Method], recipe: published.Recipe | None, form: str) -> dict[str, Any]:
    own = {"form": form} if "form" in kind.Settings.model_fields else {}
    if recipe is None:
        return own
    if recipe.method != "*":
        return {**recipe.settings, **own}
    # a recipe for every method speaks of the training loop, which not every method has
    return {key: value for key, value in recipe.settings.items() if issubclass(kind.Settings, TrainingSettings)} | own


def settings_of(method: str, kind: type[Method], values: Mapping[str, Any]) -> Settings:
    """Validated settings; one line for the first fault."""
    return validated(kind.Settings, _with_loss_names(kind, values), method, f"avgzsl show {method}")


def _with_loss_names(kind: type[Method], values: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(values)
    for key, value in values.items():
        if isinstance(value, dict) and "name" not in value and key in kind.Settings.model_fields:
            default = kind.Settings.model_fields[key].default
            filled[key] = {"name": getattr(default, "name", default), **value}
    return filled


def differing(kind: type[Method], complete: Settings) -> dict[str, Any]:
    """The settings that differ from their defaults: those that a run's name is the hash of."""
    default = kind.Settings().model_dump()
    differs = {key: value for key, value in complete.model_dump().items() if value != default[key]}
    return {key: _changed_loss(value) if key.endswith("_loss") else value for key, value in differs.items()}


def _changed_loss(choice: dict[str, Any]) -> dict[str, Any]:
    default = plugins.load("losses", choice["name"]).Settings().model_dump()
    return {key: value for key, value in choice.items() if key == "name" or value != default[key]}


def _candidates(
    method: str, kind: type[Method], complete: Settings, search: Mapping[str, Sequence[Any]], given: Mapping[str, Any]
) -> tuple[dict[str, Any], ...]:
    """The searched settings of every candidate, one dict each, in the order of the grid."""
    grid: list[dict[str, Any]] = [{}]
    for key, values in search.items():
        if not [value for value in values if value != ""]:
            raise AvgzslError(f"--search {key}= has no values; give --search {key}=a,b,c")
        if key.split(".")[0] in ("encoder", "form", "combine", "text_normalise"):
            raise AvgzslError(f"--search {key}: what stage 1 can choose is a setting of training; give {key} with --set")
        grid = [{**point, key: value} for point in grid for value in values]
    if grid == [{}]:
        return ()
    points = []
    for point in grid:
        own = _split_encoder(method, kind, point).own
        trial = settings_of(method, kind, _overlay(complete.model_dump(), own)).model_dump()
        points.append({key: trial[key] for key in sorted(own)})
    if twice := set(points[0]) & set(given):
        raise AvgzslError(f"{min(twice)!r} is given by --set and by --search; give it once")
    if any(point in points[:place] for place, point in enumerate(points)):
        raise AvgzslError(f"--search tries one setting twice: {points}; give each value once")
    return tuple(points)


def parse(assignments: Iterable[str], flag: str = "--set") -> dict[str, str]:
    """`key=value` texts as a dict; a key given twice is an error."""
    result: dict[str, str] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise AvgzslError(f"{flag} {text!r} is not key=value")
        if key in result:
            raise AvgzslError(f"{flag} {key} is given twice ({result[key]!r} and {value!r}); give it once")
        result[key] = value
    return result
