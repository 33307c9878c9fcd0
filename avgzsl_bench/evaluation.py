"""Evaluate what was trained elsewhere: released weights, weights of a run, or the scores of a system not in the harness."""

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from avgzsl_bench import config, datasets, identity, layers, plugins, provenance, records, runner
from avgzsl_bench.checkpoints import Weights, read_scores, read_weights
from avgzsl_bench.claims import claimed
from avgzsl_bench.config import RunConfig
from avgzsl_bench.contracts import Dataset, Evaluation, Method, Rules, Splits
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.features import check_name
from avgzsl_bench.files import data_root, sha256
from avgzsl_bench.precision import PRECISIONS
from avgzsl_bench.protocols import external
from avgzsl_bench.protocols._exams import Examiner, Stage
from avgzsl_bench.protocols.gzsl import GZSL
from avgzsl_bench.text import cache, sources
from avgzsl_bench.text.sources import Choice

log = logging.getLogger(__name__)

AUTHORS, OURS, SCORES = "external weights", "own weights", "external scores"  # sources of a record
UNKNOWN = "external"  # what the harness cannot know of a system that it only sees the scores of

Chosen = Mapping[str, Any]  # what the user named, by flag; `text` is a Choice


def evaluate(
    method: str | None = None,
    checkpoint: str | Path | None = None,
    stage1: str | Path | None = None,
    dataset: str | None = None,
    *,
    scores: str | Path | None = None,
    manifest: str | Path | None = None,
    name: str | None = None,
    bias: float | None = None,
    encoder: str | None = None,
    features: str | None = None,
    split: str | None = None,
    text: str | None = None,
    aspects: str | Sequence[str] = (),
    prompts: str = "",
    rules: str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    device: str = "auto",
) -> dict[str, Any]:
    """Evaluate a checkpoint or a score file as `avgzsl evaluate` does and return the record; one that is there is only read.

    `checkpoint` holds the weights of stage 2. Those of ours (model.safetensors) are scored again as the record beside them
    says. The authors' (.pt of `method` on `dataset`) are scored with the class-text order and in the form that they were
    trained with; their seen bias is chosen on validation by the weights of stage 1 (`stage1`), declared (`bias`), or 0 with
    a warning. `rules` decides how it is searched: the exact sweep (corrected, the default) or the authors' grid (reference).

    `scores` is a .safetensors of `test` and `validation`, float (clips, classes), higher is better, of a system called
    `name`; `manifest` (by default the same path with .json) names the clip of each row and the class of each column:
    {"test": {"clips": [...], "classes": [...]}, "validation": {...}}. With `bias`, validation is left out.

    Raises AvgzslError for bad input, with nothing left behind.
    """
    if bias is not None and not np.isfinite(bias):
        raise AvgzslError(f"--bias {bias} is no number; give a finite one")
    words = sources.choose(text or sources.NAMES, aspects, prompts) if text or aspects or prompts else None
    chosen = {"method": method, "dataset": dataset, "encoder": encoder, "features": features, "split": split, "text": words}
    chosen["rules"] = None if rules is None else config.checked_rules(rules)
    if scores is None:
        _refuse({"--name": name, "--manifest": manifest}, "--scores, and there are none")
        return _of_checkpoint(checkpoint, stage1, chosen, settings or {}, bias, Path(out), device)
    own = {"--checkpoint": checkpoint, "--method": method, "--encoder": encoder, "--text": words, "--set": settings}
    _refuse({**own, "--stage1": stage1}, "a checkpoint, not with --scores")
    return _of_scores(Path(scores), manifest, name, chosen, bias, Path(out), device)


def _refuse(given: Mapping[str, Any], belongs_to: str) -> None:
    if stray := [flag for flag, value in given.items() if value]:
        goes = "goes" if len(stray) == 1 else "go"
        raise AvgzslError(f"{', '.join(stray)} {goes} with {belongs_to}; leave out what does not belong")


# how weights were trained


class Trained(NamedTuple):
    """How weights were trained and are judged, as far as it is known."""

    setting: RunConfig  # its rules are those of training, which fix the order of class texts
    rules: Rules  # by which they are judged
    seed: int | None = None
    selection: external.Selection | None = None  # what belongs to them
    identity: Mapping[str, Any] = {}  # of the run that made them


def training_of(weights: Weights, chosen: Chosen, settings: Mapping[str, Any]) -> Trained:
    """How weights were trained, as they and what was named say. Raises AvgzslError for too little, and for contradictions."""
    beside = weights.path.parent / "record.json"
    if weights.ours and beside.is_file():
        return _by_its_record(records.read(beside), weights.path, chosen, settings)
    if not chosen["method"] or not chosen["dataset"]:
        raise AvgzslError(f"{weights.path} does not say what it is; give --method NAME and --dataset NAME")
    if weights.method not in (None, chosen["method"]):
        raise AvgzslError(f"{weights.path} holds weights of {weights.method}, not of {chosen['method']}; give the right --method")
    asked = {**chosen, "text": chosen["text"] or Choice()}
    if weights.ours:
        setting = _resolved({**asked, "rules": chosen["rules"] or "corrected"}, settings)
        return Trained(setting, setting.rules)
    if str(settings.get("form", "reference")) != "reference":
        raise AvgzslError(f"{weights.path} was trained by the authors' code, which is form=reference; leave form out")
    encoder = sources.reference_encoder(asked["text"].source, chosen["encoder"])
    setting = _resolved({**asked, "encoder": encoder, "rules": "reference"}, settings)
    return Trained(setting, "reference" if chosen["rules"] == "reference" else "corrected")


def _resolved(chosen: Chosen, settings: Mapping[str, Any]) -> RunConfig:
    return config.resolve(**chosen, settings=settings)[0]


def _by_its_record(record: Mapping[str, Any], path: Path, chosen: Chosen, settings: Mapping[str, Any]) -> Trained:
    """Weights of ours: the record beside them knows everything but where files of text or vectors lie."""
    own, selection = record["identity"], record["selection"]
    if record["source"] != "measured":
        raise AvgzslError(f"{path} lies beside the record of {record['source']}; give it from the folder of the run that made it")
    known = {key: own[key] for key in chosen} | {"text": sources.choice_of(own["text"])}
    short = datasets.get(own["dataset"]).presets
    for key, value in chosen.items():
        given = short.get(value, (value, ""))[0] if key == "features" else value
        given = sources.named_as(value, known[key]) if key == "text" and value else given
        if given and given != known[key]:
            raise AvgzslError(f"{path} was trained with {key} {_said(known[key])!r}, not {_said(value)!r}; leave --{key} out")
    if stray := {key for key in settings if not _is_circumstance(key)}:
        raise AvgzslError(f"{path} has a record, which says its {min(stray)}; leave --set out")
    winner = (selection.get("search") or {}).get("winner", {})
    told = {f"encoder.{key}": value for key, value in own["encoder_settings"].items()}
    asked = {**known, "text": chosen["text"] or known["text"]}
    setting = _resolved(asked, {**record["settings"], **winner, **told, **settings})
    scale = {"score_scale": record["metrics"]["score_scale"]["stage_1"]}
    setting = replace(setting, seed=own["seed"], recipe=record["recipe"], precision=own["precision"])
    return Trained(setting, setting.rules, own["seed"], {**selection, "search": None, **scale}, own)


def _is_circumstance(key: str) -> bool:
    """Whether a setting decides no number: of an encoder, or of one that is joined (encoder.clip.path)."""
    return key.startswith("encoder.") and key.rpartition(".")[2] in cache.CIRCUMSTANCES


def _said(value: Any) -> Any:
    return str(value) if isinstance(value, Choice) else value


def check_same(now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """What weights were trained on is what they are scored on. Raises AvgzslError where the two identities differ in it."""
    for key in ("features_sha256", "text_sha256", "encoder_revision", "method_version"):
        if then and now[key] != then[key]:
            said = f"{str(then[key])[:16]}, and here it is {str(now[key])[:16]}"
            raise AvgzslError(f"the weights were trained with {key} {said}; bring the former back, or train again")


# weights


def _of_checkpoint(
    checkpoint: str | Path | None,
    stage1: str | Path | None,
    chosen: Chosen,
    settings: Mapping[str, Any],
    bias: float | None,
    out: Path,
    device: str,
) -> dict[str, Any]:
    if checkpoint is None:
        raise AvgzslError("there is nothing to evaluate; give --checkpoint FILE, or --scores FILE")
    if bias is not None and stage1 is not None:
        raise AvgzslError("--stage1 chooses the seen bias and --bias declares it; give one of them")
    weights, first = read_weights(Path(checkpoint)), read_weights(Path(stage1)) if stage1 else None
    if first and first.ours != weights.ours:
        raise AvgzslError(f"{weights.path} and {first.path} come from different code; give both stages of one training")
    return _of_weights(training_of(weights, chosen, settings), weights, first, bias, out, runner.choose_device(device))


def _of_weights(
    trained: Trained, weights: Weights, first: Weights | None, bias: float | None, out: Path, device: torch.device
) -> dict[str, Any]:
    material = identity.Material(trained.setting)
    own = material.identity(trained.setting.seed)
    check_same(own, trained.identity)
    given = None if first else _given(trained.selection, weights.epoch, bias)
    about = {
        **own,
        "rules": trained.rules,
        "selection": given["split"] if given else "validation",
        "text_order": trained.setting.rules,
        "weights_sha256": weights.sha256,
        "stage1_sha256": first.sha256 if first else None,
        "given_seen_bias": given["seen_bias"] if given else None,
        "seed": trained.seed,
    }

    dtype = PRECISIONS[trained.setting.precision].dtype

    def judged(folder: Path) -> Evaluation:
        examiner = Examiner(material.splits, material.vectors, material.shared, trained.rules, device, dtype)
        selection = given or _selected(examiner, material, first)
        stage = examiner.stage(2)
        method = loaded(examiner, material, stage, weights)
        _warn(weights, first, known=bias is not None or trained.selection is not None)
        return external.judge_weights(examiner, method, stage, selection, folder, trained.setting.method, trained.setting.seed)

    planned = _planned(trained.setting, about, out)
    return _recorded(planned, OURS if weights.ours else AUTHORS, material.splits, device, judged)


def _given(own: external.Selection | None, epoch: int | None, bias: float | None) -> external.Selection:
    """The selection that is known before anything is scored: declared, or of the run that made the weights; else bias 0."""
    if bias is not None:
        return external.declared(bias, epoch)
    return own or external.declared(0.0, epoch)


def _warn(weights: Weights, first: Weights | None, known: bool) -> None:
    if first is None and not known:
        log.warning("warning: neither --stage1 nor --bias is given, so nothing chose a seen bias: scored at 0")
    elif first and None not in (weights.epoch, first.epoch) and weights.epoch != first.epoch:
        said = f"the checkpoint has {weights.epoch} epochs and stage 1's best {first.epoch}"
        log.warning("warning: %s; the authors evaluate the epoch that stage 1 selected", said)


def _selected(examiner: Examiner, material: identity.Material, first: Weights | None) -> external.Selection:
    assert first is not None
    stage = examiner.stage(1)
    method = loaded(examiner, material, stage, first)
    return external.select_by_weights(examiner, method, stage, first.epoch, material.setting.seed)


def loaded(examiner: Examiner, material: identity.Material, stage: Stage, weights: Weights) -> Method:
    """The method with its weights. Raises AvgzslError for weights that do not fit it."""
    setting, kind = material.setting, material.method
    complete = config.settings_of(setting.method, kind, setting.settings)
    method = examiner.build(kind, complete, stage, setting.seed)
    try:
        if weights.ours:
            layers.load_renamed(method, weights.state, {})
        else:
            method.load_released(weights.state)
    except AvgzslError as error:
        raise AvgzslError(f"{weights.path} for {setting.method}: {error}") from error
    return method


# scores


def _of_scores(
    path: Path, manifest: str | Path | None, name: str | None, chosen: Chosen, bias: float | None, out: Path, device_name: str
) -> dict[str, Any]:
    setting, data = _scored_system(name, chosen)
    names, device = Path(manifest) if manifest else path.with_suffix(".json"), runner.choose_device(device_name)
    scored = read_scores(path, names)
    if ("validation" in scored) == (bias is not None):
        what = "both validation scores and --bias" if bias is not None else "neither validation scores nor --bias"
        raise AvgzslError(f"{path}: there are {what}; the seen bias comes from one of them")
    splits = replace(data.open(data_root(), setting.features, setting.split), source_video=data.source_video)

    def judged(folder: Path) -> Evaluation:
        nothing = np.zeros((len(splits.classes), 1, 1), np.float32)
        examiner = Examiner(splits, nothing, {}, setting.rules, device)
        given = external.declared(bias) if bias is not None else None
        selection = given or external.select_by_scores(examiner, scored["validation"])
        return external.judge_scores(examiner, scored["test"], selection, folder)

    files = {"scores_sha256": sha256(path), "manifest_sha256": sha256(names), "given_seen_bias": bias}
    about = {**_identity_of_scores(setting, data, splits), "selection": "validation" if bias is None else "declared", **files}
    return _recorded(_planned(setting, about, out), SCORES, splits, device, judged)


def _scored_system(name: str | None, chosen: Chosen) -> tuple[RunConfig, Dataset]:
    dataset = chosen["dataset"]
    if not name or not dataset:
        raise AvgzslError("scores do not say whose they are; give --name NAME (a new one) and --dataset NAME")
    if name in plugins.names("methods"):
        raise AvgzslError(f"--name {name!r} is a method of the harness; give the system a name of its own")
    data = datasets.get(dataset)
    features, split = config.choose_features(data, dataset, chosen["features"], chosen["split"])
    setting = RunConfig(
        method=check_name(name, "system"),
        encoder=UNKNOWN,
        dataset=dataset,
        features=features,
        split=split,
        settings={},
        changed={},
        encoder_settings={},
        recipe=UNKNOWN,
        text=Choice(UNKNOWN),
        rules="reference" if chosen["rules"] == "reference" else "corrected",
    )
    return setting, data


def _identity_of_scores(setting: RunConfig, data: Dataset, splits: Splits) -> dict[str, Any]:
    return {
        "protocol": "gzsl",
        "protocol_version": GZSL.version,
        "rules": setting.rules,
        "dataset": setting.dataset,
        "dataset_revision": data.revision,
        "split": setting.split,
        "features": setting.features,
        "features_sha256": splits.content_sha256,
        "synthetic": data.synthetic or splits.synthetic,
        "method": setting.method,
        "form": UNKNOWN,
        "encoder": UNKNOWN,
        "text": UNKNOWN,
        "seed": None,
    }


# records


def _planned(setting: RunConfig, about: dict[str, Any], out: Path) -> identity.Plan:
    run_id, setting_id = records.ids(about, setting.changed, list(setting.search))
    return identity.Plan(setting, about, run_id, setting_id, records.place(out, about, run_id))


def _recorded(
    planned: identity.Plan, source: str, splits: Splits, device: torch.device, judged: Callable[[Path], Evaluation]
) -> dict[str, Any]:
    """The record, made if it is not there; a failure leaves nothing of its folder, since there is nothing to resume."""
    if not planned.done:
        with claimed(planned.folder):
            try:
                evaluation = judged(planned.folder)
                record = runner.make_record(planned, evaluation, provenance.environment(device), device, splits.partial, source)
                runner.write_run(planned, evaluation, record)
            except BaseException:
                shutil.rmtree(planned.folder, ignore_errors=True)
                raise
    return records.read(planned.record)
