"""From the records of one setting to the outcome of every test clip in every run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avgzsl_bench import metrics, plugins
from avgzsl_bench import records as store
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.significance import Outcomes


def outcomes(records: Sequence[Mapping[str, Any]]) -> Outcomes | None:
    """The outcomes of the runs of one setting, a column a record in their order; None where a record has no decisions file.

    Raises AvgzslError where the runs disagree about the test clips.
    """
    decided = [store.decisions(record) for record in records]
    found = [one for one in decided if one is not None]
    if not found or len(found) < len(decided):
        return None
    label, videos = found[0].label, [video for video in (one.video for one in found) if video is not None]
    for record, one in zip(records, found, strict=True):
        if not np.array_equal(one.label, label) or (one.video is not None and not np.array_equal(one.video, videos[0])):
            said = f"runs {records[0]['run_id']} and {record['run_id']} of setting {record['setting_id']} are of other test clips"
            raise AvgzslError(f"{said}; remove one of them, or run the setting again")
    rows = zip(records, found, strict=True)
    correct = [metrics.is_correct(one, record["selection"]["seen_bias"], record["identity"]["rules"]) for record, one in rows]
    return Outcomes(
        label=label,
        unseen=_unseen(records[0], label),
        correct=np.stack(correct, axis=1),
        zero_shot=np.stack([one.unseen_class == one.label for one in found], axis=1),
        video=videos[0] if videos else None,
        seeded=_seeded(records[0]),
    )


def _unseen(record: Mapping[str, Any], label: Any) -> Any:
    ids, flags = np.unique(label), np.array(record["per_class"].get("unseen", []), dtype=bool)  # every class has clips
    if len(ids) != len(flags):
        raise AvgzslError(f"run {record['run_id']} lists {len(flags)} classes and has clips of {len(ids)}; restore its record")
    return flags[np.searchsorted(ids, label)]


def _seeded(record: Mapping[str, Any]) -> bool:
    try:
        return bool(getattr(plugins.load("methods", record["identity"]["method"]), "seeded", True))
    except AvgzslError:  # a plugin's method on a machine without the plugin
        return True
