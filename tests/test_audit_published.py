"""The audit of numbers: what printed rows and single runs can and cannot say, against brute force, and all that it finds."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_board import record
from test_published import HEAD, stranger  # noqa: F401  (a fixture)

from avgzsl_bench import board, published
from avgzsl_bench.board import audit
from avgzsl_bench.published import PublishedRow

METRICS = ("seen", "unseen", "harmonic_mean", "zero_shot")


def printed(seen=None, unseen=None, hm=None, zsl=None, **more):
    place = {"key": "x2020", "table": "1", "method": "m", "label": "M", "dataset": "d", "features": "f", "split": "s"}
    return PublishedRow(**{**place, **more}, seen=seen, unseen=unseen, harmonic_mean=hm, zero_shot=zsl)


def told(*rows, remark=False):
    """(table, label, data set, metric) of what is found."""
    found = [finding for finding in audit.findings(rows) if finding.remark == remark]
    return [(finding.row.table, finding.row.label, finding.row.dataset, finding.metric) for finding in found]


# all that is found in our files

VGGSOUND_IS_CLS = "S 13.30, U 7.74, HM 9.78 and ZSL 8.32 as in Table 2 of chen2023 (c3d_vggish, cls)"
FAULTS = [
    ("chen2023", "1", "KDA", "vggsound", "harmonic_mean", "2 · 19.13 · 7.86 / (19.13 + 7.86) = 11.14"),
    ("chen2023", "2", "KDA", "ucf", "harmonic_mean", "2 · 75.88 · 42.97 / (75.88 + 42.97) = 54.87"),
    ("chen2023", "2", "KDA", "activitynet", "harmonic_mean", "2 · 37.55 · 10.25 / (37.55 + 10.25) = 16.10"),
    ("chen2023", "3", "Baseline", "ucf", "harmonic_mean", "2 · 29.04 · 16.32 / (29.04 + 16.32) = 20.90"),
    ("chen2023", "3", "Baseline+k+L_align", "vggsound", "harmonic_mean", "2 · 11.33 · 7.20 / (11.33 + 7.20) = 8.80"),
    ("chen2023", "3", "KDA", "vggsound", "harmonic_mean", VGGSOUND_IS_CLS),
    ("chen2023", "5", "BERT", "activitynet", "unseen", "U 6.75 exceeds the printed ZSL 5.05"),
    ("chen2023", "5", "CLAP", "activitynet", "unseen", "U 12.33 exceeds the printed ZSL 12.32"),
    ("chen2023", "Figure 2", "LLM generated text", "vggsound", "harmonic_mean", "HM 9.78 as in Table 2 of chen2023"),
    ("chen2023", "6", "Audio only", "activitynet", "unseen", "U 4.53 exceeds the printed ZSL 3.61"),
    ("li2024", "", "STFT", "vggsound", "unseen", "U 8.83 exceeds the printed ZSL 8.79"),
    ("li2024", "", "STFT", "activitynet", "unseen", "U 9.83 exceeds the printed ZSL 9.46"),
    ("zheng2023", "", "ACFS", "vggsound", "harmonic_mean", "where Table 2 of chen2023 has S 12.87, U 5.22, HM 7.43 and ZSL 6.03"),
    ("zheng2023", "", "ACFS", "vggsound", "harmonic_mean", "all four numbers of Hyper-multiple in Table 2 of chen2023"),
]
REMARKS = [
    ("chen2023", "5", "BERT", "ucf", "harmonic_mean", "S, which is not printed, would be 4.76, below U too"),
    ("chen2023", "5", "BERT", "activitynet", "harmonic_mean", "S, which is not printed, would be 3.81, below U too"),
    ("chen2023", "6", "Audio only", "activitynet", "harmonic_mean", "S, which is not printed, would be 2.17, below U too"),
]


@pytest.mark.parametrize(("expected", "remark"), [(FAULTS, False), (REMARKS, True)])
def test_this_and_no_more_is_found_in_our_files(expected, remark):
    found = [finding for finding in audit.findings(published.printed()) if finding.remark == remark]
    places = [(one.row.key, one.row.table, one.row.label, one.row.dataset, one.metric) for one in found]
    assert places == [case[:5] for case in expected]
    for finding, (*_, words) in zip(found, expected, strict=True):
        assert words in finding.sentence
        assert finding.sentence.endswith(".")
        assert "\n" not in finding.sentence


def test_both_numbers_and_both_tables_are_told_of_a_column_of_another_table():
    table, figure = (one.sentence for one in audit.findings(published.printed()) if "are those of Table 1" in one.sentence)
    assert table == (
        "KDA on vggsound, Table 3 of chen2023: S 13.30, U 7.74, HM 9.78 and ZSL 8.32 "
        "as in Table 2 of chen2023 (c3d_vggish, cls), "
        "and not S 19.13, U 7.86, HM 10.45 and ZSL 8.43 as in Table 1 of chen2023 (selavi, main); "
        "the numbers on ucf and activitynet are those of Table 1."
    )
    assert (
        "HM 9.78 as in Table 2 of chen2023 (c3d_vggish, cls), and not HM 10.45 as in Table 1 of chen2023 (selavi, main)" in figure
    )


def test_what_the_later_papers_print_of_the_baselines_is_what_their_sources_print():
    every = list(audit.pairs(published.printed()))
    between = [(first, second) for first, second in every if first.key != second.key]
    assert len(between) > 70
    assert {(second.label, second.dataset) for first, second in between if audit.differing(first, second)} == {
        ("ACFS", "vggsound")
    }


def test_footnotes_are_the_sentences_of_each_cell():
    notes = audit.footnotes(published.printed())
    assert sum(map(len, notes.values())) == len(FAULTS) + len(REMARKS)
    twice = [(row.label, row.dataset, metric) for (row, metric), sentences in notes.items() if len(sentences) > 1]
    assert twice == [("ACFS", "vggsound", "harmonic_mean")]


def test_what_was_checked_is_counted():
    counts = {count.key: count for count in audit.counts(published.printed())}
    assert counts["chen2023"][1:4] == (118, 84, 69 + 15 + 12 + 10 + 6)
    assert counts["mercea2022"] == ("mercea2022", 45, 0, 0, 42)  # ALE on C3D and VGGish is printed nowhere else
    assert sum(count.rows for count in counts.values()) == len(published.printed())
    assert sum(count.pairs for count in counts.values()) == len(list(audit.pairs(published.printed())))


# HM and U of one row

FINE = np.linspace(-0.005, 0.005, 41)


def box(value):
    return np.clip(value / 100 + FINE, 0, 100)


@given(st.integers(0, 10000), st.integers(0, 10000), st.integers(-300, 300))
def test_the_audit_equals_brute_force_over_the_rounding_box(seen, unseen, off):
    s, u = box(seen)[:, None], box(unseen)
    with np.errstate(invalid="ignore"):
        means = np.nan_to_num(2 * s * u / (s + u))
    hm = round(float(np.clip(means[20, 20] + off / 100, 0, 100)), 2)
    possible = means.min() - 1e-9 <= hm + 0.005 and hm - 0.005 <= means.max() + 1e-9
    row = printed(seen / 100, unseen / 100, hm, 0.01 if seen % 10 else None)
    if audit.half_digit(row) == 0.005:
        assert (audit.harmonic_mean_fault(row) == "") == possible


@given(st.integers(1, 10000), st.integers(1, 10000), st.sampled_from(["seen", "unseen", "zero_shot"]))
def test_an_hm_beside_one_number_is_checked_against_all_that_the_others_can_be(value, hm, known):
    row = printed(hm=hm / 100, **{"zsl" if known == "zero_shot" else known: value / 100})
    if audit.half_digit(row) == 0.005:
        other = np.linspace(0, 100, 201)[:, None]
        high = (2 * other * box(value) / (other + box(value))).max()
        assert (audit.harmonic_mean_fault(row) == "") == (hm / 100 - 0.005 <= high + 1e-9)


def test_no_accuracy_is_above_100():
    """HM 46.86 would need an S of 100.002 or more."""
    assert audit.harmonic_mean_fault(printed(100.0, 30.59, 46.86))
    assert not audit.harmonic_mean_fault(printed(100.0, 30.59, 46.85))


def test_what_an_hm_without_s_and_u_cannot_be_is_said_with_the_arithmetic():
    assert audit.harmonic_mean_fault(printed(unseen=10.01, hm=18.30)).endswith(
        "is above 18.207, the most that the printed U 10.01 allow."
    )
    assert "the printed S 40.01 and ZSL 10.00 allow" in audit.harmonic_mean_fault(printed(seen=40.01, hm=16.1, zsl=10.0))
    assert not audit.harmonic_mean_fault(printed(hm=99.99))


@given(st.integers(1, 100), st.integers(-3, 3))
def test_u_above_zsl_is_told_where_no_two_numbers_in_order_round_to_them(unseen, off):
    """In hundredths, rounded from thousandths; half goes up."""
    zero_shot = max(unseen + off, 0)
    before = [range(10 * value - 5, 10 * value + 5) for value in (unseen, zero_shot)]
    possible = any(u <= z for u in before[0] for z in before[1])
    assert (audit.zero_shot_fault(printed(unseen=unseen / 100, zsl=zero_shot / 100)) == "") == possible


def test_u_of_zsl_itself_is_no_fault():
    assert not audit.zero_shot_fault(printed(38.0, 12.33, 18.64, 12.33))
    assert "exceeds" in audit.zero_shot_fault(printed(38.0, 12.33, 18.64, 12.32))


def test_fewer_printed_digits_are_a_wider_box():
    assert not audit.harmonic_mean_fault(printed(38.0, 12.0, 18.3))
    assert audit.harmonic_mean_fault(printed(38.01, 12.0, 18.3))
    assert audit.half_digit(printed(38, 12, 18)) == 0.5
    assert not audit.harmonic_mean_fault(printed(38, 12, 19))
    assert audit.harmonic_mean_fault(printed(38, 12, 20))


def test_hm_below_u_is_a_remark_where_s_is_not_printed():
    row = printed(unseen=20.01, hm=10.0)
    assert told(row) == []
    assert told(row, remark=True) == [("1", "M", "d", "harmonic_mean")]
    assert told(printed(seen=6.67, unseen=20.0, hm=10.0), remark=True) == []
    assert told(printed(unseen=20.01, hm=20.01), remark=True) == [], "S would be U"


# one row against another

NUMBERS = st.sampled_from([None, 10.01, 10.02, 20.03])
ROWS = st.lists(
    st.builds(
        printed,
        seen=NUMBERS,
        unseen=NUMBERS,
        zsl=NUMBERS,
        key=st.sampled_from(["a2020", "b2021"]),
        method=st.sampled_from("mn"),
        features=st.sampled_from("fg"),
        variant=st.sampled_from(["", "v"]),
        encoder=st.sampled_from(["", "clip", "bert"]),
        via=st.sampled_from(["", "elsewhere"]),
    ),
    max_size=6,
)


def places(rows, found):
    """Which rows something is told of, by their place in the list."""
    return sorted(next(i for i, row in enumerate(rows) if row is one.row) for one in found)


@given(ROWS)
def test_other_numbers_of_the_same_system_are_told_as_by_brute_force(rows):
    expected = set()
    for i, row in enumerate(rows):
        for j, other in enumerate(rows):
            alike = (row.method, row.features, row.variant) == (other.method, other.features, other.variant)
            texts = not row.encoder or not other.encoder or row.encoder == other.encoder
            first = (bool(other.via), j) < (bool(row.via), i)
            values = [(getattr(row, key), getattr(other, key)) for key in METRICS]
            if first and alike and texts and any(None not in pair and pair[0] != pair[1] for pair in values):
                expected.add(i)
    assert places(rows, audit._copies(rows)) == sorted(expected)


@given(ROWS)
def test_all_numbers_of_another_system_are_told_as_by_brute_force(rows):
    full = [printed(1.11, row.unseen or 2.22, 3.33, row.zero_shot or 4.44, method=row.method, via=row.via) for row in rows]
    expected = [
        i
        for i, row in enumerate(full)
        if any(
            row.method != other.method and row.numbers == other.numbers and (bool(other.via), j) < (bool(row.via), i)
            for j, other in enumerate(full)
        )
    ]
    assert places(full, audit._twins(full)) == expected
    assert not list(audit._twins([row.model_copy(update={"seen": None}) for row in full]))


def test_the_number_that_was_read_elsewhere_is_the_one_that_is_told():
    copy, own = printed(30.01, via="somebody's table", key="a2020", table=""), printed(31.01, key="b2021")
    (finding,) = audit.findings([copy, own])
    assert finding.row is copy
    assert finding.metric == "seen"
    assert finding.sentence == (
        "M on d, a2020, read in somebody's table: S 30.01, "
        "where Table 1 of b2021 has S 31.01 for the same system, features and split."
    )


def test_numbers_of_fewer_digits_agree_with_what_rounds_to_them():
    assert not audit.differing(printed(30.04), printed(30.0, 1.1))
    assert audit.differing(printed(30.06), printed(30.0, 1.1)) == ["seen"]
    assert audit.differing(printed(30.04), printed(30.03)) == ["seen"]


@given(st.lists(st.tuples(*[st.integers(1, 3)] * 3), min_size=1, max_size=4))
def test_a_column_of_another_table_is_told_as_by_brute_force(columns):
    """Each column: HM in Table 1, in Table 2, and in Table 3, which states no features."""
    rows, repeats = [], {}
    for i, (one, two, three) in enumerate(columns):
        name = f"d{i}"
        rows.append(printed(hm=one + 0.01, table="1", features="f", dataset=name))
        rows.append(printed(hm=two + 0.01, table="2", features="g", dataset=name))
        rows.append(printed(hm=three + 0.01, table="3", stated=False, features="f", dataset=name))
        repeats[name] = [table for table, value in (("1", one), ("2", two)) if value == three]
    order = [table for tables in repeats.values() for table in tables]
    usual = [table for table in order if order.count(table) == max(map(order.count, order))][:1]
    expected = {name for name, tables in repeats.items() if tables and usual[0] not in tables}
    found = list(audit._columns(rows))
    assert {one.row.dataset for one in found} == expected
    assert all(one.row.table == "3" for one in found)


def test_a_table_that_states_its_features_is_not_guessed_at():
    rows = [printed(hm=value, table=table, dataset=name) for table, name, value in (("1", "d", 1.01), ("2", "e", 2.02))]
    again = [printed(hm=1.01, table="3"), printed(hm=2.02, table="3", dataset="e")]
    assert not list(audit._columns([*rows, *again]))
    unstated = [row.model_copy(update={"stated": False}) for row in again]
    assert len(list(audit._columns([*rows, *unstated]))) == 1
    for change in ({"variant": "v"}, {"via": "elsewhere"}, {"key": "y2021"}):
        assert not list(audit._columns([*rows, *(row.model_copy(update=change) for row in unstated)]))
        assert not list(audit._columns([rows[0], rows[1].model_copy(update=change), *unstated]))


# one run


def test_a_run_that_can_be_true_has_no_findings():
    assert audit.record_findings(record()) == []


def test_every_committed_record_can_be_true():
    found, left_out = board.gather(Path(__file__).parent.parent / "leaderboards" / "records")
    assert len(found) > 100
    assert not left_out
    assert [fault for own in found for fault in audit.record_findings(own)] == []


@given(*[st.floats(0, 1)] * 4)
def test_a_run_is_checked_as_by_brute_force(seen, unseen, off, zero_shot):
    follows = 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0
    numbers = {"seen": seen, "unseen": unseen, "harmonic_mean": follows, "zero_shot": max(unseen, zero_shot)}
    assert audit.record_findings({"metrics": numbers}) == []
    wrong = {**numbers, "harmonic_mean": off}
    assert len(audit.record_findings({"metrics": wrong})) == (abs(off - follows) > 1e-9)
    above = {**numbers, "zero_shot": zero_shot}
    assert len(audit.record_findings({"metrics": above})) == (unseen > zero_shot + 1e-9)


SOUND = {"seen": 0.5, "unseen": 0.3, "harmonic_mean": 0.375, "zero_shot": 0.4}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"harmonic_mean": 0.375 + 2e-9}, "harmonic_mean 0.375000002 does not follow from its seen and unseen: 2 · 0.5 · 0.3"),
        ({"zero_shot": 0.2}, "unseen 0.3 exceeds zero_shot 0.2"),
        ({"zero_shot": 0.3 - 2e-9}, "unseen 0.3 exceeds zero_shot 0.299999998"),
        ({"seen": 1.5}, "seen is 1.5, no fraction"),
        ({"seen": -0.1}, "seen is -0.1, no fraction"),
        ({"zero_shot": float("nan")}, "zero_shot is nan, no fraction"),
        ({"zero_shot": None}, "zero_shot is None, no fraction"),
        ({"zero_shot": "0.4"}, "zero_shot is '0.4', no fraction"),
        ({"ausuc": 7.0}, "ausuc is 7.0"),
        ({"oracle_harmonic_mean": True}, "oracle_harmonic_mean is True"),
        ({"at_bias_0": {"seen": 0.5, "unseen": 0.3, "harmonic_mean": 0.4}}, "at_bias_0.harmonic_mean 0.4 does not follow"),
        ({"at_bias_0": {"seen": 0.5, "unseen": 0.5, "harmonic_mean": 0.5}}, "at_bias_0.unseen 0.5 exceeds zero_shot 0.4"),
        ({"at_bias_0": {"seen": 2, "unseen": 0.3, "harmonic_mean": 0.4}}, "at_bias_0.seen is 2, no fraction"),
        ({"unshared": {"seen": 1.1, "clips": 3, "classes": 1}}, "unshared.seen is 1.1, no fraction"),
    ],
)
def test_what_cannot_be_true_of_a_run_is_said(changes, words):
    (fault,) = audit.record_findings({"metrics": {**SOUND, **changes}})
    assert fault.startswith(words)


def test_what_a_run_need_not_have_is_not_missed():
    assert audit.record_findings({"metrics": {**SOUND, "unshared": {"seen": None, "clips": 0, "classes": 0}}}) == []
    assert audit.record_findings({"metrics": {**SOUND, "at_bias_0": None, "unshared": None}}) == []
    assert len(audit.record_findings({"metrics": None})) == len(audit.record_findings({})) == 4


# the verb


def test_the_verb_tells_every_finding_and_what_was_checked(avgzsl):
    code, out, err = avgzsl("audit")
    assert (code, err) == (0, "")
    flat = " ".join(out.split())
    assert all(" ".join(finding.sentence.split()[:6]) in flat for finding in audit.findings(published.printed()))
    last = next(line for line in out.splitlines() if line.split()[:1] == ["all"])
    assert last.split()[1] == str(len(published.printed()))
    assert last.split()[-2:] == [str(len(FAULTS)), str(len(REMARKS))]
    assert "records" not in out


def test_markdown_is_github_tables(avgzsl):
    out = avgzsl("audit", "--markdown")[1]
    assert out.startswith("### printed numbers\n\n| paper | rows |")
    assert f"| chen2023 | 118 | 84 | 112 | 33 | 10 | {len(REMARKS)} |" in out
    assert out.count("| fault | ") == len(FAULTS)


def test_json_has_every_finding_with_its_place(avgzsl):
    content = json.loads(avgzsl("audit", "--json")[1])
    found = [
        (paper["key"], one["table"], one["label"], one["dataset"], one["metric"])
        for paper in content["papers"]
        for one in paper["findings"]
        if not one["remark"]
    ]
    assert found == [case[:5] for case in FAULTS]
    assert content["records"] == {"checked": 0, "left_out": [], "findings": []}


def test_records_are_audited_where_they_are_given(avgzsl, tmp_path):
    for name, changes in (("good", {}), ("bad", {"seen": 0.5, "unseen": 0.5, "hm": 0.4})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_text(json.dumps(record(**changes)))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "record.json").write_text("{")
    code, out, _ = avgzsl("audit", str(tmp_path), "--markdown")
    assert code == 0
    assert "| checked | 2 |\n| with faults | 1 |" in out
    assert "torn/record.json cannot be read" in out
    assert f"| {tmp_path}/bad/record.json | harmonic_mean 0.4 does not follow" in out
    content = json.loads(avgzsl("audit", str(tmp_path), "--json")[1])["records"]
    assert (content["checked"], len(content["left_out"]), len(content["findings"])) == (2, 1, 1)


def test_a_record_that_cannot_be_read_and_two_formats_are_one_line(avgzsl, tmp_path):
    (tmp_path / "record.json").write_text("{")
    code, out, err = avgzsl("audit", str(tmp_path / "record.json"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "cannot be read" in err
    code, out, err = avgzsl("audit", "--json", "--markdown")
    assert (code, out) == (2, "")
    assert "give one of them" in err
    assert avgzsl("audit", str(tmp_path / "gone"))[0] == 2


def test_the_papers_of_a_plugin_are_audited_too(avgzsl, stranger):  # noqa: F811
    row = '[[row]]\ntable = "7"\nmethod = "m"\nlabel = "a|b"\ndataset = "d"\nfeatures = "f"\nsplit = "s"\n'
    stranger("theirs2027", HEAD + row + "unseen = 5.01\nzero_shot = 4.01\n")
    out = avgzsl("audit", "--markdown")[1]
    assert "| theirs2027 | 1 | 0 | 1 | 0 | 1 | 0 |" in out
    assert "| fault | a\\|b on d, Table 7 of theirs2027: the printed U 5.01 exceeds the printed ZSL 4.01" in out


def test_the_two_audits_name_each_other(avgzsl):
    assert "`avgzsl text audit` is about class texts" in " ".join(avgzsl("audit", "--help")[1].split())
    assert "`avgzsl audit` is about printed and recorded numbers" in " ".join(avgzsl("text", "audit", "--help")[1].split())
