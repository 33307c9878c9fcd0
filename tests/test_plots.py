"""What pictures of records show, checked against the decisions that the records were made from."""

import struct
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from decided import record
from matplotlib import style
from matplotlib.text import Text

from avgzsl_bench import calibration, metrics, records
from avgzsl_bench.board.measured import Group
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.plots import _paper, classes, confusion, curve, sweep

UNSEEN = (0, 2, 4)  # of the seven classes of `decided`
LONG = [f"{i} a class with a very long name that goes on and on, and has a $ and an _under_score$ <&>" for i in range(7)]


def one(*found):
    return Group(tuple(found))


@pytest.fixture
def pair(tmp_path):
    """Two settings of three seeds each."""
    first = [record(tmp_path, seed, 0.4 + 0.1 * seed, method="avca") for seed in range(3)]
    second = [record(tmp_path, seed, 0.7, bias=0.1) for seed in range(3)]
    return [one(*first), one(*second)]


def figure_of(draw, monkeypatch):
    """The picture that a call draws, with the style that it is drawn in."""
    made = []
    monkeypatch.setattr(_paper, "write", lambda make, files: made.append(make))
    with style.context(["default", _paper._STYLE]):
        draw()
        figure = made[0]()
        figure.draw_without_rendering()
        return figure


# the seen-unseen curve


def test_a_curve_of_one_run_is_its_sweep(tmp_path):
    own = record(tmp_path)
    (line,) = curve.lines([one(own)])
    expected = calibration.sweep(records.decisions(own), (1, 3, 5, 6), UNSEEN)
    for found, wanted in zip(line.runs[0], expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert line.ausuc.mean == pytest.approx(100 * own["metrics"]["ausuc"])
    seen, unseen = line.mean
    corners = [pick(expected.unseen[expected.seen == at]) for at in np.unique(expected.seen) for pick in (max, min)]
    np.testing.assert_array_equal(unseen, corners)
    np.testing.assert_array_equal(seen, np.unique(expected.seen).repeat(2))


def test_marks_are_what_the_record_says(tmp_path):
    own = record(tmp_path)
    (line,) = curve.lines([one(own)])
    assert line.marks["chosen"] == pytest.approx((own["metrics"]["seen"], own["metrics"]["unseen"]))
    assert line.marks["zero"] == pytest.approx((own["metrics"]["at_bias_0"]["seen"], own["metrics"]["at_bias_0"]["unseen"]))
    assert metrics.harmonic_mean(*map(np.float64, line.marks["oracle"])) == pytest.approx(own["metrics"]["oracle_harmonic_mean"])
    assert len(set(line.marks.values())) == 3


def test_the_picture_says_what_chose_the_bias(tmp_path):
    groups = [
        one(record(tmp_path, selection={"split": split}, seed=0, method=split)) for split in ("validation", "test", "declared")
    ]
    for chosen, said in ((groups[:1], "bias chosen on validation"), (groups[1:], "bias chosen on test or bias that was given")):
        curve.draw(chosen, [tmp_path / "a.svg"])
        assert said in (tmp_path / "a.svg").read_text()


def unseen_at(run, seen):
    """U of a curve at some S, by walking along it; beyond its ends 0."""
    for high, low, before, after in zip(run.seen[:-1], run.seen[1:], run.unseen[:-1], run.unseen[1:], strict=True):
        if low < seen < high:
            return before + (after - before) * (high - seen) / (high - low)
    return 0.0


def test_the_mean_curve_averages_u_at_equal_s(pair):
    (line, _) = curve.lines(pair)
    seen, unseen = line.mean
    for at in np.random.default_rng(0).uniform(0, 1, 200):
        here = 0.0 if at > seen.max() else np.interp(at, seen, unseen)
        assert here == pytest.approx(np.mean([unseen_at(run, at) for run in line.runs]))
    area = np.sum(np.diff(seen) * (unseen[1:] + unseen[:-1]) / 2)
    assert area == pytest.approx(np.mean([own["metrics"]["ausuc"] for own in pair[0].records]))
    assert 100 * area == pytest.approx(line.ausuc.mean)
    expected = np.mean([[own["metrics"]["seen"], own["metrics"]["unseen"]] for own in pair[0].records], axis=0)
    assert line.marks["chosen"] == pytest.approx(tuple(expected))


def test_curves_that_change_at_different_places_are_averaged_as_well():
    dice = np.random.default_rng(3)
    runs = []
    for points in (8, 11, 15):
        lost, won = dice.random((2, points)) * dice.integers(0, 2, (2, points))  # some points change S, some U, some both
        seen, unseen = np.append(lost[::-1].cumsum()[::-1], 0), np.append(0, won.cumsum())
        runs.append(calibration.Sweep(np.arange(points), seen / 9, unseen / 9, metrics.harmonic_mean(seen, unseen)))
    seen, unseen = curve.mean(runs)
    for at in dice.uniform(0, seen.max(), 200):
        assert np.interp(at, seen, unseen) == pytest.approx(np.mean([unseen_at(run, at) for run in runs]))
    assert np.trapezoid(unseen, seen) == pytest.approx(np.mean([calibration.ausuc(run) for run in runs]))


# accuracies of classes


def test_accuracies_are_those_of_the_decisions(pair):
    unseen, seen = classes.panels(pair)
    for panel, ids in ((unseen, UNSEEN), (seen, (1, 3, 5, 6))):
        assert sorted(panel.names) == [f"class_{i}" for i in ids]
        for group, found in zip(pair, (panel.first, panel.second), strict=True):
            for name, value in zip(panel.names, found, strict=True):
                right = []
                for own in group.records:
                    decisions = records.decisions(own)
                    mine = decisions.label == int(name[-1])
                    right.append(metrics.is_correct(decisions, own["selection"]["seen_bias"], "corrected")[mine].mean())
                assert value == pytest.approx(np.mean(right))
        gain = panel.second - panel.first
        assert (np.diff(gain) <= 1e-12).all()
        assert panel.left_out == 0


def test_classes_that_change_least_are_left_out_first(pair):
    whole, few = classes.panels(pair)[1], classes.panels(pair, 2)[1]
    gain = dict(zip(whole.names, np.abs(whole.second - whole.first), strict=True))
    assert few.left_out == 2
    assert min(gain[name] for name in few.names) >= max(gain[name] for name in whole.names if name not in few.names)
    assert list(few.names) == [name for name in whole.names if name in few.names]


def test_accuracies_need_two_settings(pair):
    with pytest.raises(AvgzslError, match=r"of 1 settings: .* \(avca\); name two"):
        classes.panels(pair[:1])
    with pytest.raises(AvgzslError, match="--most 0 shows no class"):
        classes.panels(pair, 0)


# confusion


@pytest.mark.parametrize("joint", [False, True])
def test_confusions_are_counted_clip_by_clip(pair, joint):
    found = confusion.matrix(pair[0], joint)
    counts = {}
    for own in pair[0].records:
        for label, _, high, unseen, low in zip(*records.decisions(own)[:5], strict=True):
            if label in UNSEEN:
                taken = int(unseen) if not joint or float(high) - float(low) < own["selection"]["seen_bias"] else "seen"
                counts[int(label), taken] = counts.get((int(label), taken), 0) + 1
    ids = [int(name[-1]) for name in found.names]
    expected = np.array([[counts.get((i, j), 0) / 30 for j in [*ids, "seen"]] for i in ids])  # 3 seeds of 10 clips
    np.testing.assert_allclose(found.share, expected if joint else expected[:, :3])
    np.testing.assert_allclose(found.share.sum(1), 1)
    assert (np.diff(np.diag(found.share)) <= 1e-12).all()


def test_right_decisions_are_those_of_the_record(tmp_path):
    own = record(tmp_path)
    table = own["per_class"]
    for joint, key in ((False, "correct_zero_shot"), (True, "correct")):
        found = confusion.matrix(one(own), joint)
        expected = {name: right / clips for name, right, clips in zip(table["name"], table[key], table["clips"], strict=True)}
        assert np.diag(found.share) == pytest.approx([expected[name] for name in found.names])


@pytest.mark.parametrize("rules", ["corrected", "reference"])
def test_a_tie_counts_as_it_does_in_the_record(tmp_path, rules):
    """Scores in whole steps, so that a bias of 0 ties with many clips."""
    own = record(tmp_path, 0, bias=0.0)
    steps = {key: np.round(getattr(records.decisions(own), key)) for key in ("seen_score", "unseen_score")}
    decisions = records.decisions(own)._replace(**steps)
    own["identity"]["rules"] = rules
    to_unseen = confusion._to_unseen(own, confusion._subjects.Decided(decisions, np.array([1, 3, 5, 6]), np.array(UNSEEN), {}))
    mine = np.isin(decisions.label, UNSEEN)
    assert (metrics.gap(decisions) == 0)[mine].sum() > 5
    right = metrics.is_correct(decisions, 0.0, rules)
    np.testing.assert_array_equal((to_unseen & (decisions.unseen_class == decisions.label))[mine], right[mine])


# one setting


def at(tmp_path, weight, seeds=2, selection=None, **changes):
    runs = [record(tmp_path, seed, 0.5, 0.4, None, None, {"weight": weight}, selection, **changes) for seed in range(seeds)]
    return one(*runs)


def searched(grid, values, winner):
    points = [{"weight": value} for value in grid]
    return {"search": {"grid": points, "winner": {"weight": winner}, "values": values}, "value": max(values)}


def test_numbers_stand_at_the_value_of_their_runs(tmp_path):
    groups = [at(tmp_path, 10), at(tmp_path, 0.1, selection={"value": 0.25}), at(tmp_path, 1.0, 1)]
    found = sweep.values(groups, "weight")
    assert found.values == (0.1, 1.0, 10)
    for i, group in enumerate((groups[1], groups[2], groups[0])):
        for metric in ("harmonic_mean", "unseen", "zero_shot"):
            own = [100 * run["metrics"][metric] for run in group.records]
            assert found.test[metric][i].mean == pytest.approx(np.mean(own))
            half = 12.7062 * np.std(own, ddof=1) / np.sqrt(2) if len(own) == 2 else None
            assert found.test[metric][i].half_width == (None if half is None else pytest.approx(half, rel=1e-4))
    assert [cell.mean for cell in found.validation] == [25, 50, 50]
    assert found.chosen == {}


def test_a_search_gives_validation_at_every_value_and_says_what_was_chosen(tmp_path):
    runs = [
        record(tmp_path, seed, settings={"weight": None}, selection=searched([0.1, 1, 10], scores, winner))
        for seed, scores, winner in ((0, [0.2, 0.5, 0.3], 1), (1, [0.2, 0.4, 0.6], 10))
    ]
    found = sweep.values([one(*runs)], "weight")
    assert found.values == (0.1, 1, 10)
    assert [cell.mean for cell in found.validation] == pytest.approx([20, 45, 45])
    assert [cell.n for cell in found.test["harmonic_mean"]] == [0, 1, 1]
    assert found.test["harmonic_mean"][2].mean == pytest.approx(100 * runs[1]["metrics"]["harmonic_mean"])
    assert found.chosen == {1: 1, 10: 1}


def test_a_run_and_a_search_that_end_alike_count_once(tmp_path):
    fixed = record(tmp_path, 0, settings={"weight": 1.0}, selection={"value": 0.5})
    search = record(tmp_path, 0, settings={"weight": 2.0}, selection=searched([1, 2], [0.5, 0.4], 1))
    found = sweep.values([one(fixed), one(search)], "weight")
    assert [cell.n for cell in found.test["unseen"]] == [1, 0]
    assert [cell.n for cell in found.validation] == [1, 1]


def test_words_are_values_too(tmp_path):
    found = sweep.values([at(tmp_path, "literal"), at(tmp_path, "cosine")], "weight")
    assert found.values == ("cosine", "literal")


def test_records_that_do_not_make_a_sweep(tmp_path):
    first = at(tmp_path, 1.0)
    for groups, key, message in (
        ([first], "weight", r"all these runs have weight=1.0; name records of other values"),
        ([first], "wait", r"unknown setting of kda 'wait'; did you mean weight\? `avgzsl show kda`"),
        ([first, at(tmp_path, 2.0, encoder="bert")], "weight", r"differ in encoder too \(clip and bert\)"),
        ([first, at(tmp_path, 2.0, method="avca")], "weight", r"differ in method too \(kda and avca\)"),
    ):
        with pytest.raises(AvgzslError, match=message):
            sweep.values(groups, key)
    other = one(record(tmp_path, 0, settings={"weight": 3.0, "epochs": 9}))
    with pytest.raises(AvgzslError, match=r"differ in epochs too \(5 and 9\)"):
        sweep.values([first, other], "weight")


# what may stand in one picture, and its names


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": "reference"}, "synthetic data and ucf · selavi · main · synthetic data · reference rules do not go into one"),
        ({"dataset": "activitynet"}, "ucf · selavi · main · synthetic data and activitynet · selavi"),
        ({"split": "cls"}, "do not go into one picture"),
        ({"features": "clip_clap"}, "do not go into one picture"),
        ({"synthetic": False}, "do not go into one picture"),
        ({"sizes": {"clips": 11}}, r"runs \w+ and \w+ were scored on other test clips"),
    ],
)
def test_records_of_different_keys(tmp_path, changes, message):
    groups = [one(record(tmp_path)), one(record(tmp_path, method="avca", **changes))]
    for prepare in (curve.lines, classes.panels):
        with pytest.raises(AvgzslError, match=message):
            prepare(groups)


def test_names_say_what_tells_settings_apart(tmp_path):
    made = [
        record(tmp_path, method="avca"),
        record(tmp_path),
        record(tmp_path, settings={"epochs": 9}),
        record(tmp_path, form="reference"),
    ]
    names = curve._subjects.labels([one(own) for own in made])
    assert names == ["avca", "kda epochs=5", "kda epochs=9", "kda (reference)"]
    texts = [one(record(tmp_path, encoder="bert", text=text)) for text in ("names@1", "descriptions@1")]
    assert curve._subjects.labels(texts) == ["kda names@1", "kda descriptions@1"]
    alike = [one(record(tmp_path, given_seen_bias=bias)) for bias in (0.1, 0.2)]
    assert curve._subjects.labels(alike) == [f"kda {group.records[0]['setting_id'][:6]}" for group in alike]
    again = record(tmp_path / "elsewhere")
    again["source"] = "own weights"
    assert curve._subjects.labels([one(made[1]), one(again)]) == ["kda", "kda (own weights)"]


def test_a_record_without_decisions(tmp_path):
    own = record(tmp_path)
    own["decisions"] = None
    for prepare in (curve.lines, lambda groups: confusion.matrix(groups[0])):
        with pytest.raises(AvgzslError, match=rf"run {own['run_id']} has no decisions, from which this picture is made"):
            prepare([one(own)])


def test_a_record_that_counts_no_classes(tmp_path):
    own = record(tmp_path)
    own["per_class"] = {}
    for prepare in (curve.lines, lambda groups: classes.panels(groups * 2)):
        with pytest.raises(AvgzslError, match=rf"run {own['run_id']} counts no classes, from which this picture is made"):
            prepare([one(own)])


# files

DRAWN = {
    "curve": lambda groups, *rest: curve.draw(groups, *rest),
    "classes": lambda groups, *rest: classes.draw(groups, *rest),
    "confusion": lambda groups, *rest: confusion.draw(groups[:1], *rest),
    "sweep": lambda groups, *rest: sweep.draw(groups, "weight", *rest),
}


def two(tmp_path, kind, **changes):
    if kind == "sweep":
        return [at(tmp_path, weight, **changes) for weight in (0.1, 10)]
    return [one(*(record(tmp_path, seed, method=method, **changes) for seed in range(2))) for method in ("avca", "kda")]


@pytest.mark.parametrize("kind", DRAWN)
def test_pictures_are_drawn_alike_at_every_call(tmp_path, kind, monkeypatch):
    groups = two(tmp_path / "runs", kind)
    files = [tmp_path / f"{kind}.{suffix}" for suffix in ("png", "pdf", "svg")]
    assert DRAWN[kind](groups, files) == files
    first = [file.read_bytes() for file in files]
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")  # what the user has set is for pictures of their own
    DRAWN[kind](groups, files)
    assert [file.read_bytes() for file in files] == first
    png, pdf, svg = first
    assert struct.unpack(">I", png[16:20]) == (990,)  # 3.3 inches at 300 dots
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"Date" not in pdf
    words = " ".join(ET.fromstring(svg).itertext())
    assert "synthetic data" in words
    assert groups[0].identity["method"] in words
    assert "Date" not in words


def test_names_of_classes_stay_as_they_are(tmp_path):
    names = [f"a{i}$_b$ <&> ü" for i in range(7)]
    confusion.draw([one(record(tmp_path, names=names))], [tmp_path / "a.svg"])
    words = " ".join(ET.fromstring((tmp_path / "a.svg").read_bytes()).itertext())
    assert all(names[i] in words for i in UNSEEN)


def test_real_data_are_not_called_synthetic(tmp_path):
    for kind in DRAWN:
        DRAWN[kind](two(tmp_path / kind, kind, synthetic=False), [tmp_path / "a.svg"])
        assert "synthetic" not in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("kind", DRAWN)
def test_no_word_is_cut_off_or_too_small(tmp_path, kind, width, monkeypatch):
    groups = two(tmp_path, kind) if kind == "sweep" else two(tmp_path, kind, names=LONG, text="a pack with a long name@12")
    figure = figure_of(lambda: DRAWN[kind](groups, [], width), monkeypatch)
    assert figure.get_figwidth() == _paper.WIDTHS[width]
    drawn = figure.get_tightbbox()  # of all that is drawn, in inches
    assert (drawn.x0 >= 0, drawn.y0 >= 0) == (True, True), drawn
    assert (drawn.x1 <= figure.get_figwidth(), drawn.y1 <= figure.get_figheight()) == (True, True), drawn
    assert min(text.get_fontsize() for text in figure.findobj(Text)) >= 6


def test_a_picture_is_named_after_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [str(DRAWN[kind](two(tmp_path / kind, kind))[0]) for kind in DRAWN]
    assert names == ["curve-ucf.png", "classes-avca-kda-ucf.png", "confusion-avca-ucf.png", "sweep-weight-kda-ucf.png"]
    assert all((tmp_path / name).is_file() for name in names)


def test_what_cannot_be_drawn(tmp_path, monkeypatch):
    groups = two(tmp_path / "runs", "curve")
    with pytest.raises(AvgzslError, match=r"a\.gif: pictures are drawn as \.png, \.pdf, \.svg; end it in one of them"):
        curve.draw(groups, [tmp_path / "a.png", tmp_path / "a.gif"])
    assert not (tmp_path / "a.png").exists()
    with pytest.raises(AvgzslError, match=r"--width 'wide' is not known; choose column or page"):
        curve.draw(groups, [tmp_path / "a.png"], "wide")
    with pytest.raises(AvgzslError, match=r"of several: .*; name one"):
        confusion.draw(groups, [tmp_path / "a.png"])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AvgzslError, match=r"matplotlib is not installed; `pip install 'avgzsl-bench\[plots\]'` brings it"):
        curve.draw(groups, [tmp_path / "a.png"])


def test_long_names_lose_their_middle_but_not_what_tells_them_apart():
    assert _paper.shortened(["short", "a name that is far too long"], 12) == ["short", "a name …long"]
    alike = ["playing the red violin", "playing the big violin"]
    assert _paper.shortened([*alike, "skiing"], 12) == [*alike, "skiing"]
    assert all(len(name) == 12 for name in _paper.shortened(["a" * 13, "b" * 40], 12))


def test_what_a_picture_is_about_is_broken_between_its_parts():
    assert _paper._lines("kda, seed 0 · ucf · synthetic data", 24) == "kda, seed 0 · ucf\nsynthetic data"
    assert _paper._lines("a part longer than a line · ucf", 10) == "a part longer than a line\nucf"


def test_nothing_in_a_picture_is_told_by_colour_alone():
    looks = [(look["marker"], str(look["linestyle"])) for look in map(_paper.look, range(12))]
    assert len(set(looks)) == 12
