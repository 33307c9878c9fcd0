"""Two settings compared: outcomes from records, what may be compared, what is said first, and what the verdict says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from decided import record

from avgzsl_bench import metrics, records, significance
from avgzsl_bench.board import comparing, lookup, measured
from avgzsl_bench.board.outcomes import outcomes
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.significance import Comparison, Paired

COMMITTED = Path(__file__).resolve().parents[1] / "leaderboards" / "records"
METRICS = ("seen", "unseen", "harmonic_mean", "zero_shot")
SIZES = {"seen": 6, "unseen": 4, "clips": 30}


def setting(folder, seeds=3, skill=0.6, **changes):
    """A made-up setting: (its group of runs)."""
    runs = [record(folder, seed, skill, sizes=SIZES, **changes) for seed in range(seeds)]
    (group,) = measured.groups(runs)
    return group


# outcomes


def test_the_numbers_of_a_record_follow_from_its_outcomes(tmp_path):
    runs = [record(tmp_path, seed, 0.6, bias) for seed, bias in ((0, 0.4), (1, -0.2))]
    found = significance.per_seed(outcomes(runs))
    for metric in METRICS:
        assert getattr(found, metric) == pytest.approx([run["metrics"][metric] for run in runs], abs=1e-12)


def test_the_numbers_of_the_committed_records_follow_from_their_outcomes():
    for path in sorted(COMMITTED.glob("*/record.json"))[::40]:
        run = records.read(path)
        found = significance.per_seed(outcomes([run]))
        assert [getattr(found, metric)[0] for metric in METRICS] == pytest.approx([run["metrics"][m] for m in METRICS], abs=1e-9)


def test_reference_rules_decide_ties_their_own_way(tmp_path):
    run = record(tmp_path)
    run["selection"]["seen_bias"] = float(metrics.gap(records.decisions(run))[0])
    tied = outcomes([run]).correct[0, 0], outcomes([_under(run, "reference")]).correct[0, 0]
    decided = records.decisions(run)
    expected = [
        bool(metrics.is_correct(decided, run["selection"]["seen_bias"], rules)[0]) for rules in ("corrected", "reference")
    ]
    assert list(tied) == expected == [False, True]


def _under(run, rules):
    found = records.Record(run | {"identity": run["identity"] | {"rules": rules}})
    found.path = run.path
    return found


def test_a_record_without_decisions_has_no_outcomes(tmp_path):
    run = record(tmp_path)
    assert outcomes([]) is None
    assert outcomes([run, dict(run)]) is None
    assert outcomes([run]).correct.shape == (70, 1)


def test_runs_of_other_clips_are_refused(tmp_path):
    runs = [record(tmp_path, 0), record(tmp_path, 1, sizes={"clips": 11})]
    with pytest.raises(AvgzslError, match=rf"runs {runs[0]['run_id']} and {runs[1]['run_id']} of setting .* other test clips; "):
        outcomes(runs)


def test_source_videos_come_from_whichever_run_knows_them(tmp_path, monkeypatch):
    runs = [record(tmp_path, seed) for seed in range(3)]
    read, videos = records.decisions, {1: np.arange(70) // 2, 2: np.arange(70) // 2}
    monkeypatch.setattr(records, "decisions", lambda run: read(run)._replace(video=videos.get(run["identity"]["seed"])))
    assert outcomes(runs).video.tolist() == videos[1].tolist()
    assert outcomes(runs[:1]).video is None
    videos[2] = np.arange(70) // 5
    with pytest.raises(AvgzslError, match="are of other test clips"):
        outcomes(runs)


def test_a_list_of_classes_that_does_not_fit_is_refused(tmp_path):
    run = record(tmp_path)
    run["per_class"]["unseen"].append(True)
    with pytest.raises(AvgzslError, match="lists 8 classes and has clips of 7"):
        outcomes([run])


@pytest.mark.parametrize(("method", "seeded"), [("eszsl", False), ("kda", True), ("somebodys", True)])
def test_whether_seeds_matter_is_the_methods_to_say(tmp_path, method, seeded):
    assert outcomes([record(tmp_path, method=method)]).seeded is seeded


# what may be compared


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dataset", "vggsound", "dataset ucf and vggsound"),
        ("dataset_revision", "2", "dataset_revision 1 and 2"),
        ("features", "c3d_vggish", "features selavi and c3d_vggish"),
        ("split", "cls", "split main and cls"),
        ("synthetic", False, "synthetic true and false"),
        ("features_sha256", "f" * 64, "features_sha256 00000000 and ffffffff"),
    ],
)
def test_settings_of_different_data_are_refused(tmp_path, key, value, said):
    first, second = setting(tmp_path, 1), setting(tmp_path, 1, method="avca", **{key: value})
    with pytest.raises(AvgzslError, match=f"different data: {said}; name two settings") as error:
        comparing.compare(first, second)
    assert "\n" not in str(error.value)


def test_sequences_and_their_averages_are_the_same_data_in_two_forms(tmp_path):
    second = setting(tmp_path, 1, method="tcaf", temporal=True, features_sha256="f" * 64)
    found = comparing.compare(setting(tmp_path, 1), second)
    assert "B: tcaf reads clips as sequences of tokens." in found.cautions


def test_other_clips_under_the_same_names_are_refused(tmp_path):
    first, second = setting(tmp_path, 1), measured.groups([record(tmp_path, method="avca", sizes={"clips": 12})])[0]
    with pytest.raises(AvgzslError, match="not of the same test clips"):
        comparing.compare(first, second)


def test_a_run_is_not_compared_with_itself(tmp_path):
    group = setting(tmp_path)
    with pytest.raises(AvgzslError, match=r"run \w+ stands on both sides"):
        comparing.compare(group, measured.Group(group.records[1:2]))


def test_runs_without_decisions_are_refused(tmp_path):
    first, second = setting(tmp_path), setting(tmp_path, method="avca")
    second = measured.Group(tuple(dict(run) for run in second.records))
    with pytest.raises(AvgzslError, match=r"\(avca\) has a run without its decisions"):
        comparing.compare(first, second)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rules": "reference"}, "DIFFERENT rules: rules corrected (A) and reference (B). The board ranks within one rules only"),
        ({"form": "reference"}, "DIFFERENT form: form paper (A) and reference (B)."),
        ({"text": "kda@1", "text_sha256": "2" * 64}, "DIFFERENT class text: text names@1 (A) and kda@1 (B)."),
        ({"encoder": "bert"}, "DIFFERENT class text: encoder clip (A) and bert (B)."),
        ({"text_sha256": "2" * 64}, "DIFFERENT class text: text_sha256 11111111 (A) and 22222222 (B)."),
        ({"protocol_version": 2}, "DIFFERENT protocol: protocol_version 1 (A) and 2 (B)."),
        ({"method": "acfs", "known_from": "abstract"}, "B: acfs is a re-implementation from the abstract."),
    ],
)
def test_what_makes_it_no_rank_is_said_before_any_number(tmp_path, changes, said):
    found = comparing.compare(setting(tmp_path, 1), setting(tmp_path, 1, 0.61, **changes))
    assert found.cautions[0] == "SYNTHETIC data: these numbers say nothing about real clips."
    assert any(one.startswith(said) for one in found.cautions), found.cautions


def test_selection_on_test_and_weights_from_elsewhere_are_said(tmp_path):
    second = setting(tmp_path, 1, 0.5, selection={"split": "test"})
    third = setting(tmp_path, 1, 0.4, method="avca")
    third.records[0]["source"] = "external weights"
    assert "B: epoch and seen bias were chosen on the test set." in comparing.compare(third, second).cautions
    assert any(one.startswith("A: Weights trained elsewhere") for one in comparing.compare(third, second).cautions)


def test_settings_that_differ_are_named_where_the_method_is_the_same(tmp_path):
    second = setting(tmp_path, 1, 0.5, settings={"epochs": 9})
    assert "Settings: epochs 5 (A) and 9 (B)." in comparing.compare(setting(tmp_path, 1), second).cautions


def test_settings_of_one_key_have_no_caution_but_the_data(tmp_path):
    found = comparing.compare(setting(tmp_path, 1), setting(tmp_path, 1, method="avca"))
    assert len(found.cautions) == 1
    found.groups[0].identity["synthetic"] = found.groups[1].identity["synthetic"] = False
    assert comparing.compare(*found.groups).cautions == ()


# the numbers


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return comparing.compare(setting(folder, 3, 0.85), setting(folder, 4, 0.3, method="avca"))


def test_means_intervals_and_differences_are_those_of_the_records(compared):
    both = [outcomes(group.records) for group in compared.groups]
    drawn = {unit: significance.bootstrap(both, unit) for unit in ("clips", "classes")}
    for metric, line in compared.lines.items():
        means = [100 * np.mean([run["metrics"][metric] for run in group.records]) for group in compared.groups]
        assert [cell.mean for cell in line.cells] == pytest.approx(means)
        assert [cell.n for cell in line.cells] == [3, 4]
        assert line.difference == pytest.approx(means[0] - means[1])
        assert list(line.intervals) == ["clips", "classes"]  # none of the runs knows its source videos
        for unit, found in line.intervals.items():
            first, second = drawn[unit]
            for ends, one in zip(found, (first, second), strict=False):
                assert ends == pytest.approx([100 * end for end in one.interval(metric)])
            units = {"clips": None}.get(unit, 6 if metric == "seen" else 4)
            between = significance.interval(getattr(first, metric) - getattr(second, metric), units=units)
            assert found[2] == pytest.approx([100 * end for end in between])
    assert compared.tests == significance.compare(*drawn["clips"])


def test_intervals_over_videos_are_there_where_they_are_known(tmp_path, monkeypatch):
    read = records.decisions
    groups = setting(tmp_path, 2, 0.8), setting(tmp_path, 2, 0.3, method="avca")
    monkeypatch.setattr(records, "decisions", lambda run: read(run)._replace(video=np.arange(300) // 5))
    line = comparing.compare(*groups).lines["seen"]
    both = [outcomes(group.records) for group in groups]
    expected = significance.bootstrap(both, "videos")[0].interval("seen")
    assert line.intervals["videos"][0] == pytest.approx([100 * end for end in expected])


def test_classes_are_listed_by_how_much_they_differ(compared):
    runs = [[np.array(run["per_class"]["correct"]) / 30 for run in group.records] for group in compared.groups]
    by_hand = 100 * (np.mean(runs[0], 0) - np.mean(runs[1], 0))
    found = {one.name: one.difference for one in compared.classes}
    assert [found[f"class_{i}"] for i in range(10)] == pytest.approx(by_hand.tolist())
    sizes = [abs(one.difference) for one in compared.classes]
    assert sizes == sorted(sizes, reverse=True)
    flags = compared.groups[0].records[0]["per_class"]["unseen"]
    unseen = compared.classes_of(unseen=True, most=3)
    assert len(unseen) == 3
    assert all(flags[int(one.name.removeprefix("class_"))] for one in unseen)
    assert [one.clips for one in unseen] == [30] * 3
    assert len(compared.classes_of(unseen=False, most=99)) <= 6


def test_equal_outcomes_differ_in_no_class_and_are_not_separated(tmp_path):
    found = comparing.compare(setting(tmp_path), setting(tmp_path, method="avca"))  # the same decisions
    assert found.tests.p == 1
    assert found.classes_of(unseen=True, most=9) == found.classes_of(unseen=False, most=9) == []
    assert found.verdict.startswith(
        "Not separated: A (kda) is 0.00 points of HM ahead of B (avca), no more than other seeds (p = 1.00)"
    )


# the verdict


def verdict(tests, single=(), over_classes=(1.0, 9.0)):
    names = ["A (kda)", "B (avca)"]
    return comparing._verdict(names, [names[i] for i in single], tests, over_classes)


def test_separated_settings_are_called_so(compared):
    assert compared.verdict.startswith("Separated: A (kda) is ")
    clear = Comparison(0.05, 0.01, Paired(0.05, 0.02, 0.08, 0.0002), 0.02, 0.02)
    said = "other seeds (p = 0.01), other test clips (p = 0.0002) and both together (p = 0.02) make"
    assert verdict(clear) == f"Separated: A (kda) is 5.00 points of HM ahead of B (avca), more than {said}."
    doubt = f"Separated: A (kda) is 5.00 points of HM ahead of B (avca), more than {said}, though other classes may turn it round"
    assert verdict(clear, over_classes=(-1.0, 9.0)) == f"{doubt} (-1.00 to +9.00)."
    assert verdict(clear, over_classes=None).endswith("make, though one class cannot tell how it is on others.")


def test_the_verdict_names_what_makes_as_much(compared):
    close = Comparison(-0.02, 0.2, Paired(-0.02, -0.03, -0.01, 0.001), 0.3, 0.3)
    said = "Not separated: B (avca) is 2.00 points of HM ahead of A (kda), no more than"
    assert verdict(close) == f"{said} other seeds (p = 0.20) and both together (p = 0.30) make."
    opposed = Comparison(-0.02, 0.01, Paired(0.02, 0.01, 0.03, 0.001), 0.01, 1.0)
    assert verdict(opposed).startswith("Not separated: the mean of the runs' HM and the HM of their mean S and U")


def test_one_run_cannot_tell():
    single = Comparison(0.05, None, Paired(0.05, 0.02, 0.08, 0.00001), None, None)
    told = verdict(single, [1])
    assert told == "Cannot tell: the spread of B (avca) over seeds is not known from one run; over test clips alone p < 0.0001."
    assert "of A (kda) and B (avca) over seeds" in verdict(single, [0, 1])
    unseeded = Comparison(0.05, None, Paired(0.05, 0.02, 0.08, 0.03), None, 0.03)
    assert verdict(unseeded).endswith("ahead of B (avca), more than other test clips (p = 0.03) make.")


# the verb


@pytest.fixture
def stored(tmp_path):
    out = tmp_path / "runs"
    return out, setting(out, 3, 0.85), setting(out, 3, 0.3, method="avca", text="kda@1")


def test_the_verb_shows_everything(avgzsl, stored, monkeypatch):
    out, first, second = stored
    monkeypatch.chdir(out.parent)
    code, text, err = avgzsl("compare", first.records[0]["setting_id"][:8], "avca", "--classes", "2")
    assert (code, err) == (0, "")
    found = comparing.compare(first, second)
    head, body = text.split("\n\n", 1)
    assert head.splitlines()[:2] == [
        f"A  kda · form paper · clip of names@1 · rules corrected · setting {first.records[0]['setting_id']} · 3 runs",
        f"B  avca · form paper · clip of kda@1 · rules corrected · setting {second.records[0]['setting_id']} · 3 runs",
    ]
    assert head.splitlines()[2:] == list(found.cautions)
    assert len(found.cautions) == 2
    for line in found.lines.values():
        assert f"{line.cells[0]}" in body
        assert f"{line.difference:+.2f}" in body
        assert f"{line.intervals['classes'][1][0]:.2f} to {line.intervals['classes'][1][1]:.2f}" in body
        assert f"{line.intervals['clips'][2][0]:+.2f} to {line.intervals['clips'][2][1]:+.2f}" in body
    assert "SYNTHETIC" in body.splitlines()[0]
    for unseen in (True, False):
        names = [one.name for one in found.classes_of(unseen, 3)]
        assert [name in body for name in names] == [True, True, False]
    assert text.splitlines()[-1] == found.verdict


def test_one_run_says_so_in_every_row_of_the_tests(avgzsl, stored):
    out, first, _ = stored
    code, text, _ = avgzsl("compare", first.records[0]["run_id"], "avca", "--records", out)
    assert code == 0
    assert text.count("cannot tell") == 2
    assert "Cannot tell: the spread of A (kda)" in text
    assert "±–" in text


def test_only_a_seeded_method_lacks_a_second_run(tmp_path):
    first, second = setting(tmp_path, 1, 0.85), setting(tmp_path, 1, 0.3, method="eszsl")
    assert "the spread of A (kda) over seeds" in comparing.compare(first, second).verdict
    third = setting(tmp_path, 1, 0.85, method="eszsl", text="kda@1")
    found = comparing.compare(third, second)
    assert (found.tests.seeds, found.tests.together) == (None, None)
    assert found.verdict.startswith("Separated: A (eszsl)")


def test_json_has_everything(avgzsl, stored):
    out, first, second = stored
    code, text, err = avgzsl("compare", "kda", second.records[0].path.parent.parent / "avca-none", "--records", out)
    assert (code, text) == (2, "")
    assert "is no path" in err
    code, text, _ = avgzsl("compare", "kda", "avca", "--records", out, "--json")
    assert code == 0
    told, found = json.loads(text), comparing.compare(first, second)
    assert told["synthetic"] is told["separated"] is True
    assert told["a"]["setting_id"] == first.records[0]["setting_id"]
    assert sorted(told["b"]["seeds_of_runs"].values()) == [0, 1, 2]
    line = found.lines["unseen"]
    assert told["metrics"]["unseen"]["b"]["mean_percent"] == line.cells[1].mean
    assert told["metrics"]["unseen"]["a"]["half_width_percent"] == line.cells[0].half_width
    assert told["metrics"]["unseen"]["difference_percent"] == line.difference
    assert told["metrics"]["unseen"]["intervals_percent"]["clips"]["difference"] == list(line.intervals["clips"][2])
    tests = found.tests
    assert told["harmonic_mean_p"] == {"seeds": tests.seeds, "clips": tests.clips.p, "together": tests.together, "p": tests.p}
    assert told["harmonic_mean_of_seed_averaged"]["low_percent"] == pytest.approx(100 * tests.clips.low)
    assert told["verdict"] == found.verdict
    assert told["cautions"] == list(found.cautions)
    assert [one["name"] for one in told["classes"]] == [one.name for one in found.classes]


def test_settings_of_different_data_are_one_line(refused, stored, tmp_path):
    out, *_ = stored
    setting(out, 1, method="ale", features="c3d_vggish", split="cls")
    line = refused("compare", "kda", "ale", "--records", out)
    assert "features selavi and c3d_vggish; split main and cls" in line


def test_the_committed_demo_records_compare_as_the_example_says(avgzsl, tmp_path, monkeypatch):
    from avgzsl_bench.cli.compare import EPILOG

    if not COMMITTED.is_dir():
        pytest.skip("needs the records of the repository")
    for name in EPILOG.split()[-2:]:
        for run in lookup.one(name, [COMMITTED]).records:
            shutil.copytree(run.path.parent, tmp_path / "leaderboards" / "records" / run.path.parent.name)
    monkeypatch.chdir(tmp_path)
    code, text, err = avgzsl(*EPILOG.split()[2:])
    assert (code, err) == (0, "")
    assert "SYNTHETIC data: these numbers say nothing about real clips." in text
    assert text.splitlines()[-1].startswith(("Separated:", "Not separated:"))
