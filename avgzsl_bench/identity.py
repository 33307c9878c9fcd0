"""Identify runs before anything is computed: what decides a run's numbers is its identity, and its hash is its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avgzsl_bench import datasets, plugins, records, text
from avgzsl_bench.config import RunConfig, combination
from avgzsl_bench.contracts import Method, Splits
from avgzsl_bench.files import data_root
from avgzsl_bench.protocols.gzsl import GZSL
from avgzsl_bench.text import sources


@dataclass(frozen=True)
class Plan:
    """One run, identified before anything is computed."""

    config: RunConfig
    identity: dict[str, Any]
    run_id: str
    setting_id: str
    folder: Path

    @property
    def record(self) -> Path:
        """The record's path; its presence means done."""
        return self.folder / "record.json"

    @property
    def done(self) -> bool:
        """Whether this run is complete."""
        return self.record.is_file()


class Material:
    """Features and class text of one job, opened once for all its seeds."""

    def __init__(self, setting: RunConfig) -> None:
        self.setting = setting
        self.dataset = datasets.get(setting.dataset)
        self.method: type[Method] = plugins.load("methods", setting.method)

    @cached_property
    def splits(self) -> Splits:
        """The subsets, memory-mapped; the test ones sealed."""
        chosen = self.setting
        temporal = {"temporal": True} if "temporal" in self.method.needs else {}
        opened = self.dataset.open(data_root(), chosen.features, chosen.split, **temporal)
        return replace(opened, source_video=self.dataset.source_video)

    @cached_property
    def described(self) -> text.TextIdentity:
        """What identifies the class text, without encoding it."""
        return text.describe(**self._text_key())

    @cached_property
    def table(self) -> text.TextTable:
        """Class text as encoded."""
        return text.class_text(**self._text_key())

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Class text as the method takes it, (classes, texts, dim)."""
        return text.combine(self.table.vectors, self.setting.settings["combine"], self.setting.settings["text_normalise"])

    def _text_key(self) -> dict[str, Any]:
        chosen = self.setting
        return {
            "dataset": chosen.dataset,
            "classes": self.splits.classes,
            "choice": chosen.text,
            "encoder": chosen.encoder,
            "encoder_settings": chosen.encoder_settings,
            "rules": chosen.rules,
        }

    @property
    def shared(self) -> dict[str, tuple[int, int]]:
        """The modalities whose features live in the space of the class text, or of one part of it, and its columns."""
        pairs = [(own, part) for own in self.splits.features.spaces.items() for part in self.table.parts]
        return {name: (part.start, part.stop) for (name, space), part in pairs if text.shares_space(space, part.space)}

    def identity(self, seed: int) -> dict[str, Any]:
        """Everything but the settings that decides a run's numbers."""
        chosen, words = self.setting, self.described
        return {
            "protocol": "gzsl",
            "protocol_version": GZSL.version,
            "rules": chosen.rules,
            "selection": chosen.selection,
            "dataset": chosen.dataset,
            "dataset_revision": self.dataset.revision,
            "split": chosen.split,
            "features": chosen.features,
            "temporal": self.splits.temporal,
            "features_sha256": self.splits.content_sha256,
            "synthetic": self.dataset.synthetic or self.splits.synthetic,
            "method": chosen.method,
            "method_version": self.method.version,
            "form": chosen.form,
            **_doubts(self.method),
            "loss_versions": _loss_versions(chosen.settings),
            "encoder": chosen.encoder,
            "encoder_revision": words.encoder_revision,
            "encoder_settings": words.encoder_settings,
            "text": words.source,
            "text_sha256": words.text_sha256,
            "text_normalise": chosen.settings["text_normalise"],
            "combine": chosen.settings["combine"],
            "distributions": _strangers(chosen),
            "precision": chosen.precision,
            "seed": seed,
        }


def _doubts(method: type[Method]) -> dict[str, str]:
    """What must stand beside the name of a method that is not known from its paper, wherever its record goes."""
    return {} if method.known_from == "paper" else {"known_from": method.known_from}


def _loss_versions(settings: Mapping[str, Any]) -> dict[str, int]:
    chosen = [value["name"] for key, value in settings.items() if key.endswith("_loss")]
    return {name: plugins.load("losses", name).version for name in chosen}


def _strangers(chosen: RunConfig) -> dict[str, str]:
    """Distributions of the members that are not built in: a stranger's name alone does not say whose code ran."""
    used = [
        ("methods", chosen.method),
        *(("encoders", name) for name in chosen.encoder.split(sources.JOIN)),
        *(("losses", name) for name in _loss_versions(chosen.settings)),
    ]
    found = {name: plugins.find(kind, name).distribution for kind, name in used}
    return {name: origin.split(" ")[0] for name, origin in found.items() if origin != plugins.BUILT_IN}


def plan(job: Sequence[RunConfig], out: Path) -> list[Plan]:
    """Identify the runs of a job. Raises AvgzslError when its data or weights are not on this machine."""
    material = Material(job[0])
    return [planned(material, setting, out) for setting in job]


def plan_all(jobs: Sequence[Sequence[RunConfig]], out: Path) -> list[Plan]:
    """Identify the runs of a grid, each once. Raises AvgzslError as `plan` does, naming the combination where there are more."""
    plans: dict[str, Plan] = {}
    for job in jobs:
        one = job[0]
        with combination(one.method, one.dataset, one.encoder, one.features, among=jobs):
            plans |= {planned.run_id: planned for planned in plan(job, out)}
    return list(plans.values())


def planned(material: Material, setting: RunConfig, out: Path) -> Plan:
    """Identify one run of a job whose material is open."""
    identity = material.identity(setting.seed)
    run_id, setting_id = records.ids(identity, setting.changed, list(setting.search))
    return Plan(setting, identity, run_id, setting_id, records.place(out, identity, run_id))
