"""The ablation of class text: what shares a table, and which printed numbers stand beside it."""

import re

import pytest
from test_board import (
    only_built_ins,  # noqa: F401  (the fixture acts by being here)
    record,
)

from avgzsl_bench import board, config, published
from avgzsl_bench.board import ablation, audit

PACK = "descriptions@1"


def run(seed=0, encoder="clip", text=PACK, dataset="ucf", settings=None, **changes):
    """A made-up record of KDA as `avgzsl run` would leave it, but for its numbers."""
    form, rules = changes.get("form", "paper"), changes.get("rules", "corrected")
    usual = config.resolve("kda", dataset, rules=rules, settings={"form": form, **(settings or {})})[0]
    place = {"features": usual.features, "split": usual.split, "synthetic": dataset == "demo"}
    fixed = {"text_sha256": f"{text:0<64}", "encoder_revision": f"of {encoder}"}
    made = {**place, **fixed, **changes}
    return record(seed, encoder=encoder, text=text, dataset=dataset, settings=usual.settings, **made)


def tables(records, kind="encoder", **choice):
    return list(ablation.build(records, kinds=[kind], **choice).grids)


def measured(grid):
    """(line, data set) -> (n, U, HM, ZSL) to two digits, of what was run."""
    return {
        (", ".join(line.subject), column.dataset): (row.n, *(round(row.measured[key].mean, 2) for key in grid.metrics))
        for line in grid.lines
        for column, row in line.measured.items()
    }


def line_of(grid, *subject):
    (line,) = [line for line in grid.lines if line.subject == subject]
    return line


def on(grid, dataset, synthetic=False):
    (column,) = [own for own in grid.columns if (own.dataset, own.synthetic) == (dataset, synthetic)]
    return column


# the shapes


def test_encoders_stand_below_each_other_and_data_sets_side_by_side():
    runs = [run(seed, seen=0.6 + 0.1 * seed, unseen=0.3, zsl=0.35) for seed in range(2)]
    runs += [run(0, "bert", seen=0.3, unseen=0.1, zsl=0.2), run(0, "clip", dataset="activitynet", seen=0.3, unseen=0.1, zsl=0.1)]
    (grid,) = tables(runs)
    assert grid.fixed == (PACK,)
    assert measured(grid) == {
        ("clip", "ucf"): (2, 30.0, 41.0, 35.0),
        ("bert", "ucf"): (1, 10.0, 15.0, 20.0),
        ("clip", "activitynet"): (1, 10.0, 15.0, 10.0),
    }
    cell = line_of(grid, "clip").measured[on(grid, "ucf")].measured["harmonic_mean"]
    assert cell.half_width == pytest.approx(12.7062 * 1, abs=1e-3)  # t(0.975, 1) · s / √2, s = √2
    assert line_of(grid, "bert").measured[on(grid, "ucf")].measured["harmonic_mean"].half_width is None
    missing = {(line.subject[0], column.dataset) for line, column in grid.missing()}
    assert ("bert", "activitynet") in missing
    assert ("clip", "activitynet") not in missing


def test_texts_stand_below_each_other_for_one_encoder():
    runs = [run(text=PACK, hm=0.4), run(text="names@1", hm=0.3), run(text="kda@1", hm=0.45), run(0, "bert", hm=0.1)]
    bert, clip = tables(runs, "text")
    assert (bert.fixed, clip.fixed) == (("bert",), ("clip",))
    assert [line.subject[0] for line in clip.lines] == ["names@1", PACK, "kda@1"]
    assert measured(clip) == {("names@1", "ucf"): (1, 30.0), (PACK, "ucf"): (1, 40.0), ("kda@1", "ucf"): (1, 45.0)}
    assert {line.subject[0] for line, _ in bert.missing()} == {"names@1", "kda@1"}


def test_names_come_first_even_where_they_were_not_run():
    (_, clip) = tables([run(text=PACK), run(0, "bert", "names@1")], "text")
    assert [(line.subject[0], bool(line.measured)) for line in clip.lines] == [("names@1", False), (PACK, True)]


def test_a_data_set_that_one_table_has_is_not_run_in_the_others():
    runs = [run(text=text, dataset=name, settings={"epochs": 2}) for text, name in (("names@1", "ucf"), (PACK, "activitynet"))]
    grids = [grid for grid in tables(runs) if any(line.measured for line in grid.lines)]
    assert [[column.dataset for column in grid.columns] for grid in grids] == [["activitynet", "ucf"]] * 2
    assert [[column.dataset for _, column in grid.missing()] for grid in grids] == [["activitynet"], ["ucf"]]


def test_each_text_has_its_table_and_shows_which_encoders_lack_it():
    names, pack = tables([run(text="names@1"), run(0, "bert", PACK)])
    assert (names.fixed, pack.fixed) == (("names@1",), (PACK,))
    assert not line_of(names, "bert").measured
    assert not line_of(pack, "clip").measured


# nothing is mixed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"settings": {"epochs": 2}}, "epochs=2"),
        ({"form": "reference"}, "kda (reference)"),
        ({"rules": "reference", "form": "reference", "text": "kda@1"}, "rules reference"),
        ({"method_version": 2}, "method_version=2"),
        ({"loss_versions": {"wasserstein": 2}}, "loss_versions.wasserstein=2"),
    ],
)
def test_what_differs_in_anything_else_has_a_table_of_its_own(changes, said):
    grids = tables([run(hm=0.4), run(0, "bert", **({"hm": 0.1} | changes))])
    full = [grid for grid in grids if any(line.measured for line in grid.lines)]
    assert len(full) == 2
    assert [len(measured(grid)) for grid in full] == [1, 1]
    assert sum(said in grid.title for grid in full) == 1


@pytest.mark.parametrize("key", ["features_sha256", "text_sha256", "dataset_revision"])
def test_other_data_or_texts_under_the_same_names_are_another_column(key):
    (grid,) = tables([run(hm=0.4, **{key: "a" * 64}), run(0, "bert", hm=0.1, **{key: "b" * 64})])
    own = [column for column in grid.columns if column.dataset == "ucf"]
    assert [grid.heading(column)[-1] for column in own] == [f"{key} aaaaaaaa", f"{key} bbbbbbbb"]
    assert all(len([line for line in grid.lines if column in line.measured]) == 1 for column in own)


def test_the_prompts_of_a_set_are_an_encoders_own():
    text = "names@1/single@1"
    (grid,) = [
        g for g in tables([run(text=text, text_sha256="a" * 64), run(0, "clap", text, text_sha256="b" * 64)]) if measured(g)
    ]
    assert len([column for column in grid.columns if column.dataset == "ucf"]) == 1


def test_one_encoder_with_other_settings_is_another_line():
    (grid,) = tables([run(hm=0.4), run(hm=0.2, encoder_settings={"model": "ViT-L-14"})])
    assert set(measured(grid)) == {("clip", "ucf"), ("clip, model=ViT-L-14", "ucf")}
    assert line_of(grid, "clip", "model=ViT-L-14").printed == {}


def test_two_settings_never_share_a_cell():
    (grid,) = tables([run(hm=0.4), run(hm=0.2, encoder_revision="another")])
    assert set(measured(grid)) == {("clip, encoder_revision=of clip", "ucf"), ("clip, encoder_revision=another", "ucf")}
    (figure,) = tables([run(hm=0.4), run(hm=0.2, text_sha256="c" * 64)], "text")
    assert {line.subject for line in figure.lines if line.measured} > {(PACK, "text_sha256=cccccccc")}


def test_the_plugin_that_an_encoder_is_from_parts_no_tables_and_mixes_no_versions():
    (grid,) = tables([run(hm=0.4), run(0, "openai", hm=0.2, distributions={"openai": "theirs 1"})])
    assert set(measured(grid)) == {("clip", "ucf"), ("openai", "ucf")}
    (grid,) = tables([run(0, "openai", hm=hm, distributions={"openai": f"theirs {hm}"}) for hm in (0.2, 0.3)])
    assert [row[0] for row in measured(grid).values()] == [1, 1]


def test_what_is_no_complete_run_is_told():
    found = ablation.build([run(), run(1, status="failed")], remarks=["a remark"])
    assert found.remarks == ("a remark", "1 of 2 records are left out: they are not complete runs.")


def test_an_encoder_that_is_not_installed_shares_the_table():
    (grid,) = tables([run(hm=0.4), run(0, "stranger", hm=0.2)])
    assert set(measured(grid)) == {("clip", "ucf"), ("stranger", "ucf")}


def test_an_encoder_whose_revision_is_the_data_sets_is_one_line():
    runs = [run(0, "word2vec", dataset=name, encoder_revision=name) for name in ("ucf", "activitynet")]
    (grid,) = tables(runs)
    assert len(line_of(grid, "word2vec").measured) == 2


def test_what_was_selected_on_test_or_scored_elsewhere_is_left_out_and_told():
    peeking = run(hm=0.9, selection={"split": "test"})
    found = ablation.build([peeking, run(1, hm=0.8, source="external weights"), run(0, "bert", hm=0.1)])
    assert all(set(measured(grid)) <= {("bert", "ucf"), (PACK, "ucf")} for grid in found.grids)
    assert found.remarks == ("2 settings are left out: scored elsewhere, or selected on test.",)


def test_only_the_method_and_the_data_sets_asked_for():
    runs = [run(), run(dataset="activitynet"), record(method="avca")]
    (grid,) = tables(runs, datasets=["activitynet"])
    assert {column.dataset for column in grid.columns} == {"activitynet"}
    assert {row.method for line in grid.lines for row in line.measured.values()} == {"kda"}


# printed numbers


def test_table_5_and_figure_2_are_as_printed(shared):
    lines = (shared / "specs" / "kda-paper.txt").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Table 5.")) + 5
    expected = set()
    for line in lines[start : start + 5]:
        label, *numbers = (part.strip() for part in line.strip("|").split("|"))
        expected |= {(label, name, *map(float, numbers[3 * k : 3 * k + 3])) for k, name in enumerate(("ucf", "activitynet"))}
    ours = published.rows("encoder")
    assert {(row.label, row.dataset, row.unseen, row.harmonic_mean, row.zero_shot) for row in ours} == expected
    assert len(ours) == 10
    figure = {label: re.findall(r"\d+\.\d+", next(line for line in lines if line.startswith(f"| {label}"))) for label in FIGURE}
    assert figure == FIGURE
    assert len(published.rows("text")) == 6


FIGURE = {"Label name": ["33.57", "6.87", "16.95"], "LLM generated text": ["41.10", "9.78", "19.67"]}


def test_the_features_of_the_ablations_are_those_of_the_tables_that_print_the_same_row():
    tables = {(row.dataset, row.features, row.harmonic_mean) for row in published.rows() if row.method == "kda"}
    same = [row for row in published.rows("encoder") if row.encoder == "clip"]
    same += [row for row in published.rows("text") if row.text == "kda"]
    assert len(same) == 5
    assert {(row.dataset, row.features, row.harmonic_mean) for row in same} <= tables


def test_ablations_double_no_row_of_the_leaderboard():
    assert not [row for row in published.rows() if row.ablation or row.table not in "12"]
    text = board.leaderboard([], "csv", "ucf")
    assert text.count("KDA") == 2 + 1  # Tables 1 and 2, and a footnote
    assert "Instructor" not in text


def test_printed_numbers_stand_beside_with_the_difference():
    (grid,) = tables([run(unseen=0.3, hm=0.40, zsl=0.35)])
    clip = line_of(grid, "clip")
    assert clip.printed[on(grid, "ucf")]["harmonic_mean"].mean == 41.10
    assert clip.difference(on(grid, "ucf"), "harmonic_mean") == pytest.approx(-1.10)
    assert clip.difference(on(grid, "activitynet"), "harmonic_mean") is None
    assert grid.printed_in == "Table 5 of chen2023"


def test_nothing_printed_stands_beside_synthetic_data():
    (grid,) = tables([run(synthetic=True)])
    made, real = on(grid, "ucf", synthetic=True), on(grid, "ucf")
    assert all(made not in line.printed and line.difference(made, "unseen") is None for line in grid.lines)
    assert line_of(grid, "clip").printed[real]["unseen"].mean == 27.21
    assert real not in line_of(grid, "clip").measured


def test_printed_numbers_stand_beside_descriptions_and_names_each_with_its_own():
    names, pack, part, kda = tables([run(text=text) for text in ("names@1", f"{PACK}:sound", PACK, "kda@1")])
    assert not any(line.printed for grid in (names, part) for line in grid.lines)
    assert all(line_of(grid, "clip").printed for grid in (pack, kda))
    (figure,) = tables([run(text="names@1"), run(text="names@1/single@1"), run(text=PACK)], "text")
    shown = {line.subject[0]: [cells["harmonic_mean"].mean for cells in line.printed.values()] for line in figure.lines}
    assert shown == {"names@1": [33.57, 6.87, 16.95], "names@1/single@1": [], PACK: [41.10, 9.78, 19.67]}


def test_printed_numbers_stand_beside_no_changed_setting():
    (empty, grid) = tables([run(settings={"epochs": 2})])
    assert not any(line.measured for line in empty.lines)
    assert not any(line.printed for line in grid.lines)
    assert "epochs=2" in grid.title


def test_the_gpt_of_the_paper_is_no_encoder_of_ours():
    (grid,) = tables([run(0, "gpt2", hm=0.3)])
    assert not line_of(grid, "gpt2").printed
    gpt = line_of(grid, "GPT")
    assert gpt.printed
    assert not gpt.measured
    assert "gpt2 is another model" in gpt.notes[0]
    assert "GPT" not in {line.subject[0] for line, _ in grid.missing()}


def test_what_does_not_follow_in_table_5_is_told():
    rows = {(row.label, row.dataset): row for row in published.rows("encoder")}
    below = {key for key, row in rows.items() if audit.seen_remark(row)}
    assert below == {("BERT", "ucf"), ("BERT", "activitynet")}
    assert "would be 4.76, below U too" in audit.seen_remark(rows["BERT", "ucf"])
    assert pytest.approx(7.06, abs=0.01) == 2 * 4.76 * 13.62 / (4.76 + 13.62)
    assert {key for key, row in rows.items() if audit.zero_shot_fault(row)} == {("BERT", "activitynet"), ("CLAP", "activitynet")}
    notes = " ".join(ablation.build([]).notes)
    assert "U 6.75 exceeds the printed ZSL 5.05" in notes
    assert "BERT on activitynet, Table 5 of chen2023" in notes
    assert "HM 9.78 as in Table 2 of chen2023 (c3d_vggish, cls), and not HM 10.45" in notes, "Figure 2's, on VGGSound"


def test_without_records_all_is_printed_and_not_run():
    grids = ablation.build([]).grids
    assert [(grid.kind, grid.fixed) for grid in grids] == [("encoder", ("descriptions",)), ("text", ("clip",))]
    assert not any(line.measured for grid in grids for line in grid.lines)
