"""The types in a record: what stands there is of them, and what must stand there is found missing where it is used."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from avgzsl_bench.contracts import Rules
from avgzsl_bench.errors import AvgzslError

Short = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Identity(_Part):
    rules: Rules = "corrected"
    dataset: str = ""
    features: str = ""
    split: str = ""
    synthetic: bool = False
    temporal: bool = False
    method: str = ""
    form: str = ""
    encoder: str = ""
    text: str = ""
    seed: int | None = None


class _Selection(_Part):
    split: str = ""
    seen_bias: float = 0.0
    search: dict[str, Any] | None = None


class _Accuracies(_Part):
    seen: float | None = None
    unseen: float | None = None
    harmonic_mean: float | None = None


class _Unshared(_Part):
    seen: float | None = None
    clips: int = 0
    classes: int = 0


class _Metrics(_Accuracies):
    zero_shot: float | None = None
    ausuc: float | None = None
    oracle_harmonic_mean: float | None = None
    at_bias_0: _Accuracies = _Accuracies()
    unshared: _Unshared = _Unshared()


class _PerClass(_Part):
    name: list[str] = []
    unseen: list[bool] = []
    clips: list[int] = []
    correct: list[int] = []
    correct_zero_shot: list[int] = []


class _Decisions(_Part):
    path: Literal["decisions.safetensors"]
    sha256: str


class _Record(_Part):
    run_id: Short
    setting_id: Short
    status: str
    source: str
    identity: _Identity
    settings: dict[str, Any]
    selection: _Selection
    metrics: _Metrics
    per_class: _PerClass
    decisions: _Decisions | None = None


def check_types(content: dict[str, Any]) -> None:
    """Raises AvgzslError that names the first entry of another type than a run writes."""
    try:
        _Record.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where, said = ".".join(map(str, first["loc"])), f"{first['msg'][:1].lower()}{first['msg'][1:]}"
        given = "" if first["type"] == "missing" else f" {first['input']!r:.60}"
        raise AvgzslError(f"{where}{given}: {said}") from error
