"""Encoding ahead: the vectors that later runs will ask for, for machines without a network or without weights."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from avgzsl_bench.contracts import ClassInfo, Rules, TextEncoder
from avgzsl_bench.text import build, cache, sources
from avgzsl_bench.text.sources import Choice


class Task(NamedTuple):
    """What one encoder is to be given for one data set."""

    dataset: str
    name: str
    encoder: TextEncoder
    label: str  # of the texts, as records name them
    strings: list[str]
    held: bool  # by the cache, all of them


def plan(
    dataset: str, classes: Sequence[ClassInfo], choice: Choice, encoder: str, settings: Mapping[str, Any], rules: Rules
) -> list[Task]:
    """What `class_text` with these arguments would look for in the cache, one task for each encoder that is joined.

    Errors as `class_text`.
    """
    served = sources.served(choice, dataset, classes, encoder, rules)
    tasks = []
    for name, part in build(encoder, settings, dataset).items():
        strings = served.strings(name)
        tasks.append(Task(dataset, name, part, served.label, strings, cache.holds(name, part, strings)))
    return tasks


def encode(task: Task) -> float:
    """Encode what the cache does not hold, asking a server where the encoder lives on one; gives the seconds it took."""
    start = time.perf_counter()
    cache.encoded(task.name, task.encoder, task.strings, remote=True)
    cache.remember(task.name, task.encoder)  # also where the same weights in another place had encoded all of it
    return time.perf_counter() - start
