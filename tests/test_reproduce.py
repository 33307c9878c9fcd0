"""Reproductions as data: every recipe, the runs that it asks for, and what is refused or left out with a reason."""

import json
import re
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from test_cli import small_copy

from avgzsl_bench import config, datasets, files, identity, plugins, published, reproduce
from avgzsl_bench.cli import _complete
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.importers import layout
from avgzsl_bench.reproduce import recipes, works
from avgzsl_bench.reproduce.works import Asked
from avgzsl_bench.text.sources import choose

ALL = recipes.names()
TABLES = [name for name in ALL if recipes.find(name).drawn == "table"]
KDA = {  # of a recipe, what its lines change of KDA's own settings
    "table3": {
        "Baseline": {"classification_loss": "cross_entropy", "alignment_weight": 0.0},
        "Baseline+k": {"classification_loss": "cross_entropy", "alignment_weight": 0.0},
        "Baseline+k+L_align": {"classification_loss": "cross_entropy"},
        "Baseline+k+L_kdam": {"alignment_weight": 0.0},
        "KDA": {},
        "KDA, equation 6 as printed": {"classification_loss": "adaptive_margin_literal"},
    },
    "table4": {f"{value:g}": {"alignment_weight": value} for value in (0.1, 1, 5, 10, 20, 100)} | {"chosen on validation": {}},
    "table5": {label: {} for label in ("BERT", "GPT", "Instructor", "CLAP", "CLIP")},
    "table6": {"Visual only": {"modalities": "video"}, "Audio only": {"modalities": "audio"}, "KDA": {}},
    "figure2": {"Label name": {}, "LLM generated text": {}},
}


def found(name, *chosen, **asked):
    return works.plan(recipes.find(name), Asked(chosen, **asked))


def job(name, label, dataset="ucf", **asked):
    (own,) = [work for work in found(name, dataset, **asked) if work.line.label == label]
    return own.runs


@cache
def imported() -> TemporaryDirectory:
    """A store with SeLaVi features of UCF, two clips a class, that pass for all there are."""
    folder = TemporaryDirectory()
    small_copy(Path(folder.name, "copy"))
    layout.import_layout(datasets.get("ucf").layout("main", None), Path(folder.name, "copy", "UCF"), Path(folder.name, "store"))
    (manifest,) = Path(folder.name).glob("store/*/manifest.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "partial": False}))
    return folder


def small_ucf():
    """Puts UCF into the store of a test: its averaged features, and neither sequences nor word vectors."""
    shutil.copytree(Path(imported().name, "store"), files.data_root())


# the recipes


def test_the_nine_are_there():
    assert set(ALL) == {*(f"table{i}" for i in range(1, 7)), "figure2", "figure4", "same-text"}
    assert _complete.reproductions("fig") == ["figure2", "figure4"]


@pytest.mark.parametrize("name", ALL)
def test_every_line_is_a_run_on_every_data_set(name):
    recipe = recipes.find(name)
    for work in found(name, *(place.name for place in recipe.dataset), seeds=2):
        run, place = work.runs[0], work.place
        assert (run.method, run.dataset, run.features, run.split) == (work.line.method, place.name, place.features, place.split)
        assert run.rules == "corrected"
        assert run.selection == "validation"
        assert bool(work.plans) == (place.name == "demo"), work.reason
        assert work.reason or len(work.plans) == len(work.runs)


@pytest.mark.parametrize("name", TABLES)
def test_its_lines_are_those_of_the_printed_table_in_its_order(name):
    recipe = recipes.find(name)
    for place in recipe.dataset:
        rows = [
            row for row in published.printed() if (row.key, row.table, row.dataset) == (recipe.paper, recipe.table, place.name)
        ]
        lines = [line.label for line in recipe.line if not line.ours]
        assert [row.label for row in rows] == ([] if place.stand_in else lines)
        assert {row.table for row in rows} <= {recipe.table}
        for row in rows:
            assert recipe.printed(next(line for line in recipe.line if line.label == row.label), place) == row
            assert set(row.numbers) == set(recipe.metrics)


@pytest.mark.parametrize("name", ["table1", "table2"])
def test_the_main_tables_have_word2vec_for_baselines_and_descriptions_for_kda(name):
    recipe = recipes.find(name)
    assert {(line.encoder, line.text) for line in recipe.line if line.method != "kda"} == {("word2vec", "names")}
    assert {(line.encoder, line.text) for line in recipe.line if line.method == "kda"} == {("clip", "descriptions")}
    assert any("Unranked" in remark for remark in recipe.remarks)


@pytest.mark.parametrize("name", KDA)
def test_lines_of_an_ablation_change_what_they_say_and_nothing_else(name):
    recipe = recipes.find(name)
    for place in recipe.dataset:
        plain = config.resolve("kda", place.name, "clip", place.features, place.split)[0].settings
        for line in recipe.line:
            own = job(name, line.label, place.name)[0]
            changes = {key: value for key, value in own.settings.items() if plain[key] != value}
            shown = {key: value["name"] if isinstance(value, dict) else value for key, value in changes.items()}
            wanted = {key: value for key, value in KDA[name][line.label].items() if plain[key] != value}
            assert shown == wanted, (line.label, place.name)


def test_the_baseline_is_class_names_and_the_rest_of_table_3_descriptions():
    texts = {line.label: (line.encoder, line.text) for line in recipes.find("table3").line}
    assert texts.pop("Baseline") == ("clip", "names")
    assert set(texts.values()) == {("clip", "descriptions")}
    assert [line.text for line in recipes.find("figure2").line] == ["names", "descriptions"]


def test_what_is_printed_for_vggsound_in_the_ablations_is_of_the_other_features():
    for name in ("table3", "figure2"):
        (place,) = [place for place in recipes.find(name).dataset if place.name == "vggsound"]
        assert (place.features, place.split) == ("c3d_vggish", "cls")
        assert "Table 2" in place.remark


def test_the_weight_is_chosen_among_the_same_values_on_validation():
    (run, *_) = job("table4", "chosen on validation")
    assert [point["alignment_weight"] for point in run.search] == [0.1, 1.0, 5.0, 10.0, 20.0, 100.0]
    assert "alignment_weight" not in run.changed


def test_encoders_are_those_of_the_paper_and_gpt_another_model_apart():
    lines = {line.label: line for line in recipes.find("table5").line}
    assert {label: line.encoder for label, line in lines.items()} == {
        "BERT": "bert", "GPT": "gpt2", "Instructor": "instructor", "CLAP": "clap", "CLIP": "clip"
    }  # fmt: skip
    assert lines["GPT"].apart == "GPT-2"
    assert "not published" in lines["GPT"].remark
    assert not any(line.apart for label, line in lines.items() if label != "GPT")


def test_all_methods_have_one_text_where_they_are_ranked():
    recipe = recipes.find("same-text")
    assert recipe.drawn == "leaderboard"
    assert {line.method for line in recipe.line} == {*plugins.names("methods")} - {"raw_similarity", *strangers()}
    assert len({(line.encoder, line.text) for line in recipe.line}) == 1


def strangers():
    return {name for name in plugins.names("methods") if plugins.find("methods", name).distribution != plugins.BUILT_IN}


# a recipe that is wrong

GOOD = """
title = "A table"
dataset = [{ name = "demo", features = "mapped", split = "main" }]
line = [{ label = "One", method = "eszsl" }, { label = "Two", method = "devise" }]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title", "titel", "title: Field required"),
        (', method = "eszsl"', "", "line: 0: method: Field required"),
        ('label = "Two"', 'label = "Two", colour = "red"', "line: 1: colour: Extra inputs"),
        ('label = "Two"', 'label = "One"', "line 'One' stands there twice"),
        ('title = "A table"', 'title = "A table"\ndrawn = "leaderboard"', None),
        ('"eszsl" }', '"eszsl", text = "names" }', None),
        ('title = "A table"', 'title = "A table"\nmetrics = ["accuracy"]', "metrics: 0: Input should be 'seen'"),
        ("line = [", "line = [[", "cannot be read"),
        (re.search(r"line = .*", GOOD)[0], "line = []", "line: Tuple should have at least 1"),
    ],
)
def test_a_fault_is_one_line_that_names_the_file(tmp_path, old, new, said):
    path = tmp_path / "mine.toml"
    path.write_text(GOOD.replace(old, new))
    if said is None:
        assert recipes.parse(path).name == "mine"
        return
    with pytest.raises(AvgzslError, match=re.escape(said)) as error:
        recipes.parse(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_ranked_recipe_has_one_text(tmp_path):
    path = tmp_path / "mine.toml"
    for own in ('text = "names"', 'encoder = "bert"'):
        path.write_text('drawn = "leaderboard"' + GOOD.replace('"eszsl" }', f'"eszsl", {own} }}'))
        with pytest.raises(AvgzslError, match="one encoder and one text"):
            recipes.parse(path)


# its runs


def test_they_are_the_runs_of_avgzsl_run(tmp_path):
    own = works.plan(recipes.find("table6"), Asked(("demo",), 2), tmp_path)
    usual = config.resolve("kda", "demo", "hashed", text=choose("descriptions"), seeds=2)
    (kda,) = [work for work in own if work.line.label == "KDA"]
    assert [plan.run_id for plan in kda.plans] == [plan.run_id for plan in identity.plan(usual, tmp_path)]
    assert len({plan.run_id for work in own for plan in work.plans}) == 6


def test_there_are_five_seeds_or_as_many_as_asked_for():
    assert len(found("table6", "demo")[0].runs) == 5
    assert len(found("table6", "demo", seeds=3)[0].runs) == 3
    assert len(found("figure4", "demo")[0].runs) == 1  # one picture


def test_encoders_that_demo_has_not_are_replaced_by_one_that_it_has():
    own = found("table1", "demo", seeds=1)
    assert {work.runs[0].encoder for work in own} == {"hashed"}
    assert {work.runs[0].text.source for work in own} == {"names", "descriptions"}
    ((_, others),) = works.stand_ins(own)
    assert others == "word2vec and clip"
    assert list(works.stand_ins(found("table1", "ucf"))) == []
    widths = [work.runs[0].encoder_settings.get("dim", 256) for work in found("table5", "demo", seeds=1)]
    assert len(set(widths)) == 5  # five encoders stay five


def test_another_encoder_takes_the_place_of_clip_alone():
    own = found("table2", "ucf", encoder="minilm", seeds=1)
    assert {(work.line.method == "kda", work.runs[0].encoder) for work in own} == {(True, "minilm"), (False, "word2vec")}
    own = found("table5", "demo", encoder="minilm", seeds=1)
    assert [work.runs[0].encoder for work in own] == ["hashed"] * 4 + ["minilm"]


def test_another_text_takes_the_place_of_descriptions_alone():
    texts = {work.line.label: work.runs[0].text.source for work in found("figure2", "demo", text="names", seeds=1)}
    assert texts == {"Label name": "names", "LLM generated text": "names"}
    texts = {work.line.label: work.runs[0].text.source for work in found("figure2", "demo", text="descriptions", seeds=1)}
    assert texts == {"Label name": "names", "LLM generated text": "descriptions"}


def test_a_setting_goes_to_every_method_that_has_it():
    own = found("same-text", "demo", seeds=1, settings={"epochs": "1"})
    epochs = {work.line.method: work.runs[0].settings.get("epochs") for work in own}
    assert {method for method, number in epochs.items() if number is None} == {"eszsl", "chance", "constant"}
    assert {number for number in epochs.values() if number is not None} == {1}
    own = found("table5", "demo", seeds=1, encoder="minilm", settings={"encoder.long_texts": "cut"})
    assert [work.runs[0].encoder_settings.get("long_texts") for work in own] == [None] * 4 + ["cut"]
    own = found("table1", "demo", seeds=1, settings={"loss.margin": "0.5"})
    assert {work.line.method for work in own if "0.5" in str(work.runs[0].changed)} >= {"devise", "sje"}


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("tabel1", {}, "did you mean table1"),
        ("table4", {"datasets": ["vggsound"]}, "table4 has no data set 'vggsound'; it has ucf, activitynet, demo"),
        ("table4", {"datasets": ["uvf"]}, "did you mean ucf"),
        ("table4", {"seeds": 0}, "--seeds 0"),
        ("table4", {"encoder": "clap2"}, "did you mean clap"),
        ("table4", {"text": "discriptions"}, "unknown text of demo 'discriptions'"),
        ("table4", {"settings": {"alignment_weight": "3"}}, "lines of table4 differ in alignment_weight"),
        ("table3", {"settings": {"loss": "ale"}}, "given twice"),
        ("table4", {"settings": {"layers": "3"}}, "no line of table4 has such a setting"),
        ("table4", {"settings": {"encoder.path": "x"}}, "no line of table4 has such a setting"),
        ("table4", {"settings": {"epochs": "none"}}, "epochs"),
        ("table4", {"settings": {"seed": "3"}}, "give it as --seeds"),
        ("table1", {}, "no data set of table1 is imported: `avgzsl data import ucf PATH --features main`"),
        ("table2", {}, "`avgzsl data import vggsound PATH --features cls`"),
    ],
)
def test_what_does_not_fit_is_one_line(name, asked, said):
    usual = {"datasets": ["demo"]} if asked else {}
    with pytest.raises(AvgzslError, match=re.escape(said)) as error:
        reproduce.jobs(name, **{**usual, **asked})
    assert "\n" not in str(error.value)


def test_without_a_data_set_it_is_those_that_are_imported():
    small_ucf()
    own = reproduce.jobs("table1", seeds=1, encoder="hashed")
    assert {dataset for _, dataset, _ in own} == {"ucf"}
    outcomes = {label: runs for label, _, runs in own}
    assert [run.encoder for run in outcomes["KDA"]] == ["hashed"]
    assert "--features main --temporal" in outcomes["TCaF"]
    assert "word vectors of ucf are not on this machine" in outcomes["AVCA"]
    with pytest.raises(AvgzslError, match="no data set of table2 is imported"):
        reproduce.jobs("table2")
