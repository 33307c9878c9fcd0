"""The leaderboard: what is pooled, what is ranked, what is said about it, and how it is drawn."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from avgzsl_bench import board, hookimpl, leaderboard, plugins, published
from avgzsl_bench.board import cells, pages, table
from avgzsl_bench.board.cells import METRICS
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.published import PublishedRow

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def only_built_ins(monkeypatch):
    monkeypatch.setenv("AVGZSL_PLUGINS", "")
    plugins.registry.cache_clear()
    yield
    plugins.registry.cache_clear()


def record(seed=0, seen=0.6, unseen=0.3, hm=None, zsl="enough", settings=None, selection=None, **changes):
    """A made-up record, whose S and U are `hm` where only that is given; `changes` go to the identity, or to the top level."""
    if hm is not None and (seen, unseen) == (0.6, 0.3):
        seen = unseen = hm
    zsl = max(0.35, unseen or 0) if zsl == "enough" else zsl
    identity = {
        "protocol": "gzsl", "protocol_version": 1, "rules": "corrected", "selection": "validation", "dataset": "ucf",
        "dataset_revision": "1", "split": "main", "features": "selavi", "temporal": False, "features_sha256": "0" * 64,
        "synthetic": False, "method": "kda", "method_version": 1, "form": "paper", "loss_versions": {}, "encoder": "clip",
        "encoder_revision": "r", "encoder_settings": {}, "text": "names", "text_sha256": "1" * 64, "text_normalise": "unit",
        "combine": "mean", "precision": "float32", "seed": seed,
    }  # fmt: skip
    top = {"status": "complete", "source": "measured", "created": f"2026-01-01T00:00:{seed:02d}+00:00", "recipe": "default"}
    top |= {key: changes.pop(key) for key in list(changes) if key in (*top, "run_id")}
    identity |= changes
    whole = settings and "combine" in settings
    settings = settings if whole else {"text_normalise": "unit", "combine": "mean", "epochs": 5} | (settings or {})
    hm = 2 * seen * unseen / (seen + unseen) if hm is None and seen and unseen else hm
    ids = [
        hashlib.sha256(json.dumps([part, settings], sort_keys=True).encode()).hexdigest()[:16]
        for part in (identity, {key: value for key, value in identity.items() if key != "seed"})
    ]
    return {
        "schema": 1, "run_id": ids[0], "setting_id": ids[1], **top, "identity": identity, "settings": settings,
        "selection": {"split": identity["selection"], "criterion": "harmonic_mean", "epoch": 3, "seen_bias": 0.1, "search": None}
        | (selection or {}),
        "metrics": {"seen": seen, "unseen": unseen, "harmonic_mean": hm, "zero_shot": zsl}, "per_class": {},
    }  # fmt: skip


def rows_of(records, printed=()):
    return [row for section in table.build(records, printed).sections for row in section.rows]


# numbers


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_is_students(fractions):
    cell = cells.pooled(fractions)
    percent = 100 * np.array(fractions)
    assert cell.mean == pytest.approx(percent.mean())
    scale = percent.std(ddof=1) / np.sqrt(len(percent))
    if scale > 1e-9:
        low, high = scipy.stats.t.interval(0.95, len(percent) - 1, percent.mean(), scale)
        assert cell.half_width == pytest.approx((high - low) / 2)


def test_harmonic_mean_is_the_mean_of_the_seeds():
    runs = [record(0, 0.9, 0.1), record(1, 0.1, 0.9), record(2, 0.5, 0.5)]
    (row,) = rows_of(runs)
    assert row.n == 3
    assert row.measured["harmonic_mean"].mean == pytest.approx(100 * (0.18 + 0.18 + 0.5) / 3)
    assert row.measured["seen"].mean == row.measured["unseen"].mean == pytest.approx(50)


def test_one_run_has_no_interval():
    (row,) = rows_of([record(seen=0.6)])
    assert row.measured["seen"].half_width is None
    assert str(row.measured["seen"]) == "60.00 ±–"


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_no_average_over_a_missing_cell(missing):
    bad = [record(0, method="avca", hm=0.9), record(1, method="avca", hm=0.9, zsl=missing)]
    row, last = rows_of([*bad, record(0, hm=0.1)])
    assert (row.method, row.tie_group) == ("kda", 1)
    assert (last.method, last.tie_group, last.measured["zero_shot"].mean) == ("avca", None, None)
    assert str(last.measured["zero_shot"]) == "–"


# what is pooled and what is not


def test_settings_are_never_pooled_and_say_what_changed():
    rows = rows_of(
        [record(seed, hm=0.3) for seed in range(3)] + [record(seed, hm=0.4, settings={"epochs": 9}) for seed in range(2)]
    )
    assert [row.n for row in rows] == [2, 3]
    assert "epochs=9" in rows[0].changed
    assert "epochs=5" in rows[1].changed


def test_changed_is_against_what_run_would_use():
    usual = {**_eszsl_settings(), "text_normalise": "raw"}
    (row,) = rows_of([record(method="eszsl", dataset="demo", features="mapped", encoder="hashed", settings=usual)])
    assert row.changed == ("text_normalise=raw",)


def _eszsl_settings():
    from avgzsl_bench.config import resolve

    return resolve("eszsl", "demo")[0].settings


def test_an_unusual_encoder_setting_makes_another_key():
    built = table.build([record(), record(encoder_settings={"model": "ViT-L-14"})], ())
    assert [section.place.text for section in built.sections] == ["clip (model=ViT-L-14) of names", "clip of names"]


@pytest.mark.parametrize("key", ["features_sha256", "text_sha256"])
def test_other_content_under_the_same_names_makes_another_key(key):
    built = table.build([record(method="mine", **{key: digit * 64}) for digit in "ab"], ())
    assert [section.place.content for section in built.sections] == [(f"{key}=aaaaaaaa",), (f"{key}=bbbbbbbb",)]
    assert all(f"{key}={digit * 8}" in section.title for digit, section in zip("ab", built.sections, strict=True))


def test_sequences_share_the_key_of_their_averages():
    built = table.build([record(), record(method="tcaf", temporal=True, features_sha256="9" * 64)], ())
    assert [len(section.rows) for section in built.sections] == [2]


def test_sequences_of_unclear_averages_stand_alone():
    averaged = [record(features_sha256=digit * 64) for digit in "ab"]
    built = table.build([*averaged, record(method="tcaf", temporal=True, features_sha256="9" * 64)], ())
    assert sorted([row.method for row in section.rows] for section in built.sections) == [["kda"], ["kda"], ["tcaf"]]


def test_a_searched_setting_shows_its_grid_and_pools_whatever_the_seeds_chose():
    grid = {"grid": [{"epochs": 5}, {"epochs": 9}]}
    runs = [record(seed, selection={"search": grid | {"winner": grid["grid"][seed], "values": [0.1, 0.2]}}) for seed in range(2)]
    (row,) = rows_of(runs)
    assert row.n == 2
    assert "epochs=5 | 9" in row.changed


def test_a_run_in_two_folders_counts_once():
    runs = [record(0), record(1)]
    (row,) = rows_of([*runs, *runs])
    assert row.n == 2


def test_two_results_of_one_run_are_told():
    late = record(0, seen=0.9, created="2027-01-01T00:00:00+00:00")
    built = table.build([late, record(0, seen=0.6)], ())
    assert built.sections[0].rows[0].measured["seen"].mean == pytest.approx(60)
    assert "two results" in built.remarks[0]


@pytest.mark.parametrize("key", ["identity", "settings", "selection"])
def test_two_forms_of_one_run_are_told(key):
    first, late = record(0, method="avca"), record(0, method="avca", created="2027-01-01T00:00:00+00:00")
    late[key] = late[key] | {"identity": {"method": "kda"}, "settings": {"epochs": 9}, "selection": {"epoch": 9}}[key]
    built = table.build([late, first], ())
    assert [row.method for row in built.sections[0].rows] == ["avca"]
    assert built.remarks == (f"Run {first['run_id']} was found with two forms of its {key}; the earlier one counts.",)


def test_a_record_that_does_not_say_what_it_is_about_is_one_line():
    bad = record()
    del bad["identity"]["encoder"]
    with pytest.raises(AvgzslError, match=f"record {bad['run_id']} lacks identity encoder"):
        table.build([bad], ())


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"selection": {}}, "selection split"),
        ({"selection": None, "metrics": None}, "selection, metrics"),
        ({"selection": {"split": "validation", "search": {"winner": 0}}}, "selection search grid"),
        ({"metrics": {"seen": "60 %"}}, "metrics seen"),
        ({"settings": []}, "settings"),
    ],
)
def test_a_record_without_its_results_is_one_line(changes, missing):
    bad = record() | changes
    with pytest.raises(AvgzslError, match=f"record {bad['run_id']} lacks {missing}; restore it or leave it out"):
        table.build([bad, record(1)], ())
    built = table.build([bad | {"status": "partial data"}, record(1)], ())
    assert built.sections[0].rows[0].n == 1


def test_unfinished_records_reach_no_table():
    built = table.build([record(0), record(1, status="partial data")], ())
    assert built.sections[0].rows[0].n == 1
    assert built.remarks == ("1 of 2 records are left out: they are not complete runs.",)


def test_each_key_has_its_section():
    runs = [
        record(),
        record(rules="reference", form="reference"),
        record(form="reference"),
        record(split="cls"),
        record(features="c3d_vggish"),
        record(dataset="demo"),
        record(encoder="bert"),
        record(text="descriptions@1"),
        record(synthetic=True),
    ]
    built = table.build(runs, ())
    assert len(built.sections) == len(runs)
    assert [section.place.rules for section in built.sections] == ["corrected"] * 8 + ["reference"]
    assert all(len(section.rows) == 1 for section in built.sections)
    assert built.sections[-1].rows[0].name == "kda (reference)"


def test_order_does_not_depend_on_the_order_of_the_records():
    runs = [record(seed, hm=0.1 * k, method=name) for k, name in enumerate(["a", "b", "c"], 1) for seed in range(2)]
    assert [row.method for row in rows_of(runs)] == ["c", "b", "a"]
    assert leaderboard(runs, "markdown") == leaderboard(runs[::-1], "markdown")


def test_equal_rows_are_ordered_by_name():
    assert [row.method for row in rows_of([record(method=name, hm=0.3) for name in "cab"])] == ["a", "b", "c"]


# ranks and footnotes


def test_single_runs_share_a_tie_group_whatever_their_numbers():
    runs = [record(method=name, hm=hm) for name, hm in {"a": 0.5, "b": 0.3, "c": 0.1}.items()] + [
        record(method="constant", hm=0.3)
    ]
    assert [(row.method, row.tie_group) for row in rows_of(runs)] == [("a", 1), ("b", 1), ("constant", None), ("c", 1)]


def test_selection_on_test_is_marked_and_never_ranked():
    runs = [record(hm=0.9, selection={"split": "test"}), record(hm=0.2, method="avca")]
    first, second = rows_of(runs)
    assert (first.method, first.tie_group) == ("avca", 1)
    assert (second.method, second.tie_group) == ("kda", None)
    assert "chosen on the test set" in second.notes[0]


def test_runs_selected_on_test_are_not_pooled_with_the_others():
    honest, peeking = record(0), record(1, selection={"split": "test"})
    assert honest["setting_id"] == peeking["setting_id"]
    assert [row.n for row in rows_of([honest, peeking])] == [1, 1]


def test_floors_are_shown_and_have_no_rank():
    best, learned = rows_of([record(method="constant", hm=0.9), record(method="kda", hm=0.2)])
    assert (best.name, best.tie_group, best.floor) == ("constant (floor)", None, True)
    assert learned.tie_group == 1


def test_what_reads_sequences_says_so():
    first, second = rows_of([record(method="tcaf", hm=0.9, temporal=True), record(hm=0.2)])
    assert "as sequences of tokens" in " ".join(first.notes)
    assert not second.notes


def test_external_records_are_shown_and_not_ranked():
    first, second = rows_of([record(1, hm=0.9, source="external"), record(0, hm=0.2)])
    assert (first.source, first.tie_group, second.tie_group) == ("external", None, 1)


def test_what_plugins_find_is_a_footnote():
    class Checker:
        @hookimpl
        def check_record(self, record):
            record["metrics"].clear()  # a plugin that meddles changes nothing
            return ["seen accuracy\nis suspicious"]

    with plugins.listening(Checker()):
        built = table.build([record()], ())
    assert built.notes == [f"Check of run {record()['run_id']}: seen accuracy is suspicious"]
    assert built.sections[0].rows[0].measured["seen"].mean == pytest.approx(60)


def test_a_checker_that_fails_is_logged_once(caplog):
    class Broken:
        @hookimpl
        def check_record(self, record):
            raise ValueError("oops")

    with plugins.listening(Broken()):
        assert rows_of([record(seed) for seed in range(3)])[0].n == 3
    assert len([line for line in caplog.messages if "oops" in line]) == 1


def test_a_recipe_value_chosen_on_test_is_told(monkeypatch):
    recipe = published.Recipe(key="x2020", method="kda", source="paper", chosen_on_test=("epochs",), settings={"epochs": 5})
    monkeypatch.setattr(published, "recipes", lambda: [recipe])
    assert any("x2020 chose epochs" in note for note in rows_of([record()])[0].notes)
    assert not any("x2020" in note for note in rows_of([record(settings={"epochs": 6})])[0].notes)


def test_several_values_chosen_on_test_are_told_in_one_note(monkeypatch):
    values = {"epochs": 5, "batch_size": 8, "learning_rate": 0.1}
    recipe = published.Recipe(key="x2020", method="kda", source="paper", chosen_on_test=tuple(values), settings=values)
    monkeypatch.setattr(published, "recipes", lambda: [recipe])
    (note,) = [note for note in rows_of([record(settings={**values, "batch_size": 9})])[0].notes if "x2020" in note]
    assert note == "x2020 chose epochs, learning_rate of kda on ucf by test numbers, and the recipe keeps their values."


# published numbers


DESCRIBED = {"encoder": "clip", "text": "descriptions@1"}  # what KDA's printed numbers are of, and word2vec its baselines


def test_published_numbers_stand_beside_the_best_row_of_their_method_and_are_not_pooled():
    best, other, *alone = rows_of(
        [record(hm=0.4, **DESCRIBED), record(hm=0.3, settings={"epochs": 9}, **DESCRIBED)], published.rows()
    )
    assert best.published["harmonic_mean"].mean == 41.10
    assert other.published["harmonic_mean"].mean is None
    assert best.measured["harmonic_mean"].mean == pytest.approx(40)
    systems = [row for row in alone if row.printed_in == "Table 1 of chen2023" and row.source == "published"]
    assert "Hyper-multiple" in {row.name for row in systems}
    assert all(row.measured["seen"].mean is None and row.tie_group is None for row in systems)


@pytest.mark.parametrize(
    ("method", "own", "beside"),
    [
        ("kda", {"encoder": "clip", "text": "descriptions@1"}, True),
        ("kda", {"encoder": "clip", "text": "kda@1"}, True),
        ("kda", {"encoder": "clip", "text": "names@1"}, False),
        ("kda", {"encoder": "clip", "text": "descriptions@1:name+sound"}, False),
        ("kda", {"encoder": "bert", "text": "descriptions@1"}, False),
        ("kda", {"encoder_settings": {"model": "ViT-L-14"}, "text": "descriptions@1"}, False),
        ("avca", {"encoder": "word2vec", "text": "names@1"}, True),
        ("avca", {"encoder": "word2vec", "text": "names@1/single"}, False),
        ("avca", {"encoder": "clip", "text": "names@1"}, False),
    ],
)
def test_published_numbers_stand_beside_their_own_class_text_only(method, own, beside):
    (row,) = [row for row in rows_of([record(method=method, **own)], published.rows()) if row.n]
    assert bool(row.printed_in) == beside


def test_published_systems_are_listed_once():
    own = {"method": "avca", "encoder": "word2vec"}
    built = table.build([record(**own), record(rules="reference", form="reference", **own)], published.rows())
    shown = [(row.name, row.printed_in) for section in built.sections for row in section.rows if not row.n]
    assert len(shown) == len(published.rows()) - 1
    ours = [row for section in built.sections for row in section.rows if row.n]
    assert [row.published["seen"].mean for row in ours] == [51.53, 51.53]


def test_every_published_number_has_a_key():
    built = table.build([], published.rows())
    assert sum(len(section.rows) for section in built.sections) == len(published.rows())
    for section in built.sections:
        assert section.place.rules == table.UNMEASURED
        assert {row.tie_group for row in section.rows} == {None}
    ucf = [section for section in built.sections if section.place[1:4] == ("ucf", "selavi", "main")]
    texts = {section.place.text: {row.name for row in section.rows} for section in ucf}
    assert texts["clip of kda"] == {"KDA"}
    assert {"AVCA", "TCaF"} < texts["word2vec of names"]


def test_published_numbers_do_not_stand_beside_synthetic_data():
    built = table.build([record(synthetic=synthetic, **DESCRIBED) for synthetic in (True, False)], published.rows())
    beside = {section.place.synthetic: section.printed_in for section in built.sections if section.measured}
    assert beside[True] == ""
    assert beside[False].startswith("Table 1 of chen2023")


def test_a_second_paper_gets_rows_of_its_own():
    own = {"label": "KDA", "dataset": "ucf", "features": "selavi", "split": "main", "encoder": "clip", "text": "names"}
    rows = [PublishedRow(key=key, table="1", method="kda", seen=1, **own) for key in "ab"]
    shown = rows_of([record(), record(hm=0.1, settings={"epochs": 9})], rows)
    assert [row.printed_in for row in shown] == ["Table 1 of a", "", "Table 1 of b"]


# the audit


def test_the_footnote_gives_the_arithmetic():
    notes = " ".join(table.build([], published.rows()).notes)
    assert "2 · 37.55 · 10.25 / (37.55 + 10.25) = 16.10" in notes
    assert "U 9.83 exceeds the printed ZSL 9.46" in notes


# renderers


@pytest.fixture
def mixture():
    runs = [
        record(seed, 0.6 + 0.01 * seed, method=name, dataset="demo", synthetic=True)
        for seed in range(3)
        for name in ("kda", "a|b_*")
    ]
    return [*runs, record(), record(method="constant", rules="reference")]


def test_markdown_is_github_tables(mixture):
    text = leaderboard(mixture, "markdown")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == len(table.build(mixture, published.rows()).sections)
    for block in blocks:
        widths = {len(line.replace("\\|", "").split("|")) for line in block}
        assert len(widths) == 1, block[0]
        assert set(block[1]) <= set("|-:")
    assert "a\\|b\\_\\*" in text
    assert "### demo · selavi · main · clip of names · form paper · SYNTHETIC data" in text


def test_csv_and_json_hold_the_same_rows(mixture):
    lines = pd.read_csv(io.StringIO(leaderboard(mixture, "csv")), keep_default_na=False, na_values=[""])
    content = json.loads(leaderboard(mixture, "json"))
    assert len(lines) == len(content["rows"]) == 4 + len(published.rows())
    assert lines["synthetic"].tolist() == [row["synthetic"] for row in content["rows"]]
    assert lines["synthetic"].sum() == 2
    measured = [row for row in content["rows"] if row["method"] == "kda" and row["dataset"] == "demo"]
    assert measured[0]["seen_percent"] == pytest.approx(61)
    assert measured[0]["tie_group"] == 1  # two equal rows
    assert {row["tie_group"] for row in content["rows"] if row["source"] == "published"} == {None}


@pytest.mark.parametrize("width", [80, 100, 180])
def test_the_terminal_table_fits_and_loses_no_number(mixture, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    text = leaderboard(mixture, "terminal")
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    assert "…" not in text
    for section in table.build(mixture, published.rows()).sections:
        for row in section.rows:
            for cell in (*row.measured.values(), *row.published.values()):
                assert cell.mean is None or f"{cell.mean:.2f}" in text


def test_the_rows_of_a_run_come_without_the_caption():
    text = board.rows([record()])
    assert "60.00" in text
    assert "Published" not in text
    assert all(name in text for name in METRICS.values())


def test_the_caption_is_in_words_in_every_prose_format(mixture):
    for name in ("terminal", "markdown", "json"):
        text = " ".join(leaderboard(mixture, name).split())
        assert "95 % t interval" in text
        assert "selected on validation" in text
        assert "single runs under their authors' rules" in text


def test_one_data_set():
    text = leaderboard([record()], "csv", dataset="ucf")
    assert set(pd.read_csv(io.StringIO(text))["dataset"]) == {"ucf"}
    with pytest.raises(AvgzslError, match=r"'ufc'; did you mean ucf\?"):
        leaderboard([], "csv", dataset="ufc")


def test_unknown_formats_name_their_neighbours():
    with pytest.raises(AvgzslError, match="did you mean markdown"):
        leaderboard([], "markdwn")


# the command


@pytest.fixture
def invoke(monkeypatch, tmp_path):
    import typer
    from typer.testing import CliRunner

    from avgzsl_bench.cli import leaderboard as verb

    app = typer.Typer()
    app.command()(verb.command)
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, words)


def test_without_records_the_published_numbers_and_a_hint(invoke):
    result = invoke("--format", "csv")
    assert result.exit_code == 0
    assert "no records in runs yet" in result.stderr
    assert len(pd.read_csv(io.StringIO(result.stdout))) == len(published.rows())


def test_records_from_a_folder_into_a_file_named_by_its_suffix(invoke, tmp_path):
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record()))
    assert invoke("--out", "board.md").exit_code == 0
    assert (tmp_path / "board.md").read_text() == leaderboard([record()], "markdown")


def test_a_missing_folder_is_an_error(invoke):
    result = invoke("nowhere")
    assert isinstance(result.exception, AvgzslError)
    assert "nowhere" in str(result.exception)


def test_an_unknown_suffix_is_an_error(invoke, tmp_path):
    assert "--format" in str(invoke("--out", "board.xyz").exception)
    assert not (tmp_path / "board.xyz").exists()


def test_a_file_has_no_colours(invoke, tmp_path, monkeypatch):
    monkeypatch.setattr(board, "leaderboard", lambda *_: "\x1b[1mbold\x1b[0m\n")
    invoke("--out", "board.txt")
    assert (tmp_path / "board.txt").read_text() == "bold\n"


def test_the_committed_files_are_fresh():
    assert pages.check(ROOT / "leaderboards") == []
