"""How sure the board is of its numbers: intervals, tie groups, printed numbers, and what it says of a whole key."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_board import (
    DESCRIBED,
    only_built_ins,  # noqa: F401  (the fixture acts by being here)
    record,
)

from avgzsl_bench import calibration, metrics, published, records, significance
from avgzsl_bench.board import cells, gather, table, uncertainty
from avgzsl_bench.board.cells import Verdict
from avgzsl_bench.board.outcomes import outcomes
from avgzsl_bench.files import sha256

SEEN, UNSEEN, EACH = 6, 4, 30  # classes, and clips of each


def made(folder, skill, seeds=4, method="kda", spread=0.02, uneven=0.0, videos=True, shared=(), dropped=0, **changes):
    """Write made-up runs whose clips are right with probability `skill`, more or less from seed to seed and class to class."""
    label = np.repeat(np.arange(SEEN + UNSEEN), EACH)[dropped:]
    for seed in range(seeds):
        rng = np.random.default_rng([seed, int(1000 * skill), sum(map(ord, method))])
        right, own = rng.random(len(label)) < skill + spread * rng.standard_normal(), label < SEEN
        right |= (rng.random(len(label)) < uneven) & (label % 2 == 0)
        wrong = np.where(own, (label + 1) % SEEN, SEEN + (label + 1 - SEEN) % UNSEEN)
        best = np.where(right, label, wrong)
        found = metrics.Decisions(
            label.astype(np.int16),
            np.where(own, best, 0).astype(np.int16),
            own.astype(np.float32),
            np.where(own, SEEN, best).astype(np.int16),
            (~own).astype(np.float32),
            *([(np.arange(len(label)) // 3).astype(np.int32), np.isin(label, shared)] if videos else []),
        )
        write(folder, found, seed, method, **changes)


def write(folder, found, seed, method, **changes):
    seen, unseen = list(range(SEEN)), list(range(SEEN, SEEN + UNSEEN))
    curve = calibration.sweep(found, seen, unseen)
    own = record(seed, *metrics.at_bias(found, 0.1, seen, unseen, "corrected"), method=method, **changes)
    own["metrics"] |= {
        "zero_shot": metrics.zero_shot(found, unseen),
        "ausuc": calibration.ausuc(curve),
        "at_bias_0": metrics.at_bias(found, 0.0, seen, unseen, "corrected")._asdict(),
        "oracle_harmonic_mean": calibration.oracle(curve),
    }
    if rest := metrics.unshared(found, 0.1, seen, "corrected"):
        own["metrics"]["unshared"] = rest._asdict()
    counts = metrics.per_class(found, 0.1, seen, unseen, "corrected")._asdict()
    own["per_class"] = {"name": [f"class {i}" for i in counts["id"]], "unseen": [bool(i >= SEEN) for i in counts.pop("id")]}
    own["per_class"] |= {key: column.tolist() for key, column in counts.items()}
    place = folder / f"{method}-{own['run_id']}"
    place.mkdir(parents=True)
    save_file({name: np.ascontiguousarray(column) for name, column in found.columns().items()}, place / "decisions.safetensors")
    own["decisions"] = {"path": "decisions.safetensors", "sha256": sha256(place / "decisions.safetensors")}
    (place / "record.json").write_text(json.dumps(own))


def built(folder, printed=()):
    found, remarks = gather(folder)
    assert remarks == []
    return table.build(found, printed)


def test_intervals_are_those_of_the_bootstrap(tmp_path):
    made(tmp_path, 0.6)
    made(tmp_path, 0.4, method="avca")
    (section,) = built(tmp_path).sections
    each = [outcomes(row.runs) for row in section.rows]
    for unit in cells.UNITS:
        for row, drawn in zip(section.rows, significance.bootstrap(each, unit, uncertainty.REPLICATES[unit]), strict=True):
            for metric in cells.METRICS:
                expected = 100 * np.array(drawn.interval(metric))
                assert row.intervals[unit][metric] == pytest.approx(tuple(expected), abs=1e-9)
    assert section.rows[0].over("clips").low < section.rows[0].measured["harmonic_mean"].mean < section.rows[0].over("clips").high


def test_without_source_videos_there_is_no_interval_over_them(tmp_path):
    made(tmp_path, 0.6, videos=False)
    (row,) = built(tmp_path).sections[0].rows
    assert set(row.intervals) == {"clips", "classes"}
    assert row.unshared.mean is None


def test_rows_far_apart_are_in_groups_of_their_own_and_near_ones_share_one(tmp_path):
    for method, skill in {"kda": 0.80, "avca": 0.79, "sje": 0.50, "ale": 0.49, "devise": 0.2}.items():
        made(tmp_path, skill, method=method)
    (section,) = built(tmp_path).sections
    assert {row.method: row.tie_group for row in section.rows} == {"kda": 1, "avca": 1, "sje": 2, "ale": 2, "devise": 3}
    best, *others = section.rows
    assert best.versus is None
    each = [outcomes(row.runs) for row in section.rows]
    drawn = significance.bootstrap(each, "clips")
    found = [significance.compare(drawn[0], other) for other in drawn[1:]]
    adjusted = significance.holm([one.p for one in found])
    for row, comparison, p in zip(others, found, adjusted, strict=True):
        assert (row.versus.best, row.versus.p_seeds, row.versus.p_clips) == (best.name, comparison.seeds, comparison.clips.p)
        assert row.versus.p == p
        assert row.versus.difference == pytest.approx(100 * -comparison.difference)


def test_floors_take_no_part_in_comparisons(tmp_path):
    made(tmp_path, 0.9, method="chance")
    made(tmp_path, 0.3)
    first, second = built(tmp_path).sections[0].rows
    assert (first.tie_group, first.versus, bool(first.intervals)) == (None, None, True)
    assert (second.tie_group, second.versus) == (1, None)


def test_one_run_cannot_be_set_apart(tmp_path):
    made(tmp_path, 0.9)
    made(tmp_path, 0.2, method="avca", seeds=1)
    second = built(tmp_path).sections[0].rows[1]
    assert (second.tie_group, second.versus.p) == (1, None)
    assert "cannot tell" in str(second.versus)


@pytest.mark.parametrize(("seeds", "within"), [(4, False), (1, None)])
def test_a_printed_number_is_held_against_one_more_run(tmp_path, seeds, within):
    made(tmp_path, 0.6, seeds=seeds, **DESCRIBED)
    (row,) = [row for section in built(tmp_path, published.rows()).sections for row in section.rows if row.n]
    verdict = row.against["harmonic_mean"]
    assert verdict.within is within
    assert verdict.difference == pytest.approx(row.measured["harmonic_mean"].mean - 41.10)
    if seeds > 1:
        ends = significance.prediction_interval([100 * run["metrics"]["harmonic_mean"] for run in row.runs])
        assert verdict.interval == pytest.approx(ends)
    assert ("cannot tell" if within is None else "outside") in str(verdict)


def test_a_verdict_is_shown_with_a_true_minus():
    assert str(Verdict(-1.234, None, None)) == "−1.23 (cannot tell)"
    assert str(Verdict(1.0, cells.Interval(0, 2), True)) == "+1.00 (within)"


@pytest.mark.parametrize(("how", "dominate"), [({"uneven": 0.8, "spread": 0.0}, True), ({"spread": 0.3}, False)])
def test_the_section_says_what_its_best_number_depends_on(tmp_path, how, dominate):
    made(tmp_path, 0.3, **how)
    (section,) = built(tmp_path).sections
    row, said = section.rows[0], " ".join(section.remarks)
    assert f"± {row.measured['harmonic_mean'].half_width:.1f} over seeds" in said
    assert all(f"{row.over(unit)} over {unit}" in said for unit in cells.UNITS)
    assert ("4 unseen classes are tested decides more than anything else" in said) == dominate


def test_clips_of_videos_in_training_are_told_and_left_out(tmp_path):
    made(tmp_path, 0.6, shared=(0, 2))
    (section,) = built(tmp_path).sections
    said = " ".join(section.remarks)
    assert "60 of 180 seen test clips are of a source video that also stands in training" in said
    assert "S unshared is S over the other 120, of 4 classes, which leaves out 2: class 0, class 2." in said
    (row,) = section.rows
    runs = [records.read(run.path) for run in row.runs]
    assert row.unshared.mean == pytest.approx(100 * np.mean([run["metrics"]["unshared"]["seen"] for run in runs]))


def test_where_every_seen_clip_is_of_such_a_video_there_is_no_figure(tmp_path):
    made(tmp_path, 0.6, shared=tuple(range(SEEN)))
    (section,) = built(tmp_path).sections
    assert "No seen test clip is of another video" in " ".join(section.remarks)
    assert section.rows[0].unshared.mean is None


def test_where_no_video_is_shared_nothing_is_said(tmp_path):
    made(tmp_path, 0.6)
    (section,) = built(tmp_path).sections
    assert "source video that" not in " ".join(section.remarks)
    assert section.rows[0].unshared.mean is None


def test_other_test_clips_are_not_compared(tmp_path):
    made(tmp_path, 0.9)
    made(tmp_path, 0.2, method="avca", dropped=1)
    first, second = built(tmp_path).sections[0].rows
    assert first.intervals
    assert second.intervals
    assert (second.tie_group, second.versus.p) == (1, None)
