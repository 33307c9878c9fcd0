"""Read a record that a stranger wrote: its file, its shape, and whether all in it is plain text about no machine."""

import json
import re
import socket
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from avgzsl_bench.contracts import Rules
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import check_name
from avgzsl_bench.text.sources import JOIN

LARGEST = {"record.json": 4 * 2**20, "decisions.safetensors": 256 * 2**20}  # bytes; far above those of VGGSound
# from the root of a file system, a home, a drive or a share; names with a slash inside, such as openai/clip, are none
PATHS = re.compile(r"(?:^|[\s'\"=(\[,;:])(?:~?/[\w.~-]|[A-Za-z]:[\\/]|\\\\\w)|file://")
PRIVATE_HOSTS = re.compile(r"(?:@|//)(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[)")


def _moment(said: str) -> str:
    datetime.fromisoformat(said)
    return said


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


Fraction = Annotated[float, Field(ge=0, le=1)]
Short = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class _Identity(_Part):
    protocol: str
    protocol_version: int
    rules: Rules
    selection: str
    dataset: str
    dataset_revision: str
    split: str
    features: str
    features_sha256: Sha256
    synthetic: bool
    method: str
    form: str
    loss_versions: dict[str, int] = {}
    distributions: dict[str, str] = {}
    encoder: str
    text: str
    seed: Count | None


class _Search(_Part):
    grid: list[dict[str, Any]] = Field(min_length=1)
    winner: dict[str, Any]
    values: list[float]


class _Selection(_Part):
    split: Literal["validation", "test", "declared"]
    criterion: str
    epoch: Count | None
    seen_bias: float
    value: Fraction | None
    learning_rate_drops: list[int] = []
    search: _Search | None


class _Accuracies(_Part):
    seen: Fraction
    unseen: Fraction
    harmonic_mean: Fraction


class _Scales(_Part):
    stage_1: float | None
    stage_2: float


class _Metrics(_Accuracies):
    zero_shot: Fraction
    ausuc: Fraction
    at_bias_0: _Accuracies
    oracle_harmonic_mean: Fraction
    score_scale: _Scales


class _PerClass(_Part):
    name: list[str] = Field(min_length=1)
    unseen: list[bool]
    clips: list[Count]
    correct: list[Count]
    correct_zero_shot: list[Count]

    @model_validator(mode="after")
    def _equally_long(self) -> Self:
        if len({len(column) for column in (self.name, self.unseen, self.clips, self.correct, self.correct_zero_shot)}) > 1:
            raise ValueError("its lists are not equally long")
        return self


class _Decisions(_Part):
    path: Literal["decisions.safetensors"]
    sha256: Sha256


class _Code(_Part):
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40,64}$")] | None
    dirty: bool | None
    sha256: Sha256


class _Device(_Part):
    type: str
    name: str


class _Environment(_Part):
    avgzsl_bench: str
    code: _Code
    python: str
    packages: dict[str, str]
    platform: str
    device: _Device


class _Shape(_Part):
    """Of a record, what is looked at here or by a leaderboard."""

    schema_: int = Field(alias="schema")
    run_id: Short
    setting_id: Short
    status: str
    source: str
    created: Annotated[str, AfterValidator(_moment)]
    identity: _Identity
    settings: dict[str, Any]
    recipe: str
    selection: _Selection
    metrics: _Metrics
    per_class: _PerClass
    decisions: _Decisions
    cost: dict[str, Annotated[float, Field(ge=0)] | bool]
    environment: _Environment


def load(path: Path) -> dict[str, Any]:
    """The JSON object of a record's file. Raises AvgzslError for what is no plain file, too large, or no record."""
    check_file(path)
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=_once, parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        said = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise AvgzslError(f"it cannot be read: {said}; restore it, or make the run again") from error
    if not isinstance(found, dict):
        raise AvgzslError(f"it holds {type(found).__name__}, not a record; restore it, or make the run again")
    return found


def check_file(path: Path) -> None:
    """Raises AvgzslError for a link, a device and a file beyond the size of any record."""
    try:
        about = path.lstat()
    except OSError as error:
        raise AvgzslError(f"{path.name} cannot be read: {error.strerror}; a record and its decisions go together") from error
    if not stat.S_ISREG(about.st_mode):
        raise AvgzslError(f"{path.name} is a link or no file; put the file itself there")
    if about.st_size > LARGEST[path.name]:
        raise AvgzslError(f"{path.name} has {about.st_size} bytes, and no record has more than {LARGEST[path.name]}; restore it")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def misshapen(record: dict[str, Any]) -> list[str]:
    """What a record lacks, or has in another form than a run writes; one line each."""
    try:
        _Shape.model_validate(record)
    except ValidationError as error:
        return [_misfit(fault) for fault in error.errors(include_url=False, include_context=False)]
    return []


def _misfit(fault: Any) -> str:
    where = ".".join(map(str, fault["loc"]))
    if fault["type"] == "missing":
        return f"{where} is missing"
    given = "" if isinstance(fault["input"], dict | list) else f"={fault['input']!r:.60}"
    return f"{where}{given}: {fault['msg'][:1].lower()}{fault['msg'][1:]}"


def strange_words(record: dict[str, Any]) -> Iterator[str]:
    """Names that are not plain, text that is markup, and what says where the run was made rather than how."""
    identity = record["identity"]
    named = [(key, identity[key]) for key in ("method", "dataset", "features", "split")]
    for what, name in (*named, *(("encoder", part) for part in identity["encoder"].split(JOIN))):
        try:
            check_name(name, what)
        except AvgzslError as error:
            yield str(error)
    host = re.compile(rf"(?<!\w){re.escape(socket.gethostname())}(?!\w)")
    for where, text in _texts(record):
        if not text.isprintable() or set("<>") & set(text):
            yield f"{where} is no plain text: {text!r:.80}"
        if PATHS.search(text) or PRIVATE_HOSTS.search(text) or (where.startswith("environment.") and host.search(text)):
            yield f"{where} names a path or a machine: {text!r:.80}; take out what put it there, and run again"


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a record with its place, keys included."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield f"a key of {where or 'the record'}", key
            yield from _texts(inner, f"{where}.{key}".strip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, where)
