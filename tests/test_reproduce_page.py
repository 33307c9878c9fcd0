"""The page of a reproduction, from made-up runs: measured, printed and their difference, in every format."""

import csv
import io
import json
import shutil
import subprocess

import pytest
import scipy.stats
from test_ablation import only_built_ins, record  # noqa: F401  (the fixture acts by being here)

from avgzsl_bench import published
from avgzsl_bench.board import drawings
from avgzsl_bench.board.grids import Column
from avgzsl_bench.reproduce import page, recipes, works
from avgzsl_bench.reproduce.works import Asked

UCF = Column("ucf", "selavi", "main")
VGGSOUND = Column("vggsound", "selavi", "main")


def made_up(work, seed, **numbers):
    """A record as a run of this work would leave it, but for its numbers."""
    run = work.runs[0]
    known = {"known_from": "abstract"} if run.method in ("vib_gzsl", "acfs") else {}
    own = {key: getattr(run, key) for key in ("method", "dataset", "features", "split", "encoder", "form")}
    return record(seed, text=f"{run.text}@1", settings=run.settings, **own, **known, **numbers)


@pytest.fixture
def build(monkeypatch):
    """The page of a recipe on data sets, with made-up runs of some of its lines: (label, data set) -> their numbers."""

    def make(name, *chosen, runs=None, failures=None, **asked):
        recipe, wish = recipes.find(name), Asked(chosen, **asked)
        found = works.plan(recipe, wish)
        known = {
            (work.line.label, work.place.name): [made_up(work, seed, **own) for seed, own in enumerate(numbers)]
            for (label, dataset), numbers in (runs or {}).items()
            for work in found
            if (work.line.label, work.place.name) == (label, dataset)
        }
        assert len(known) == len(runs or {})
        monkeypatch.setattr(page, "_records", lambda work: known.get((work.line.label, work.place.name), []))
        return page.page(recipe, found, wish, failures or {})

    return make


def line_of(made, *subject):
    (line,) = [line for line in made.grids[0].lines if line.subject == subject]
    return line


KDA = ("KDA", "clip of descriptions")
SEEDS = [{"seen": 0.5 + 0.1 * i, "unseen": 0.30, "zsl": 0.3} for i in range(3)]


# what stands where


def test_measured_printed_and_difference_stand_together(build):
    made = build("table1", "ucf", runs={("KDA", "ucf"): SEEDS})
    line = line_of(made, *KDA)
    assert str(line.measured[UCF].measured["seen"]) == "60.00 ± 24.84"
    assert {key: cell.mean for key, cell in line.printed[UCF].items()} == {
        "seen": 83.98, "unseen": 27.21, "harmonic_mean": 41.10, "zero_shot": 28.05
    }  # fmt: skip
    assert line.difference(UCF, "seen") == pytest.approx(60 - 83.98)
    assert made.grids[0].printed_in == "Table 1 of chen2023"


def test_a_printed_number_is_held_against_one_more_run(build):
    values = [50.0, 60.0, 70.0]
    reach = scipy.stats.t.ppf(0.975, 2) * 10 * (1 + 1 / 3) ** 0.5
    assert reach == pytest.approx(49.7, abs=0.1)
    printed = {"KDA": 83.98, "AVCA": 51.53}
    for label, text in (("KDA", "clip of descriptions"), ("AVCA", "word2vec of names")):
        line = line_of(build("table1", "ucf", runs={(label, "ucf"): SEEDS}), label, text)
        assert line.verdict(UCF, "seen").within == (abs(printed[label] - sum(values) / 3) < reach)
        assert line.shown_difference(UCF, "seen") == f"≈ {60 - printed[label]:+.2f}".replace("-", "−")
    near = [{"seen": 0.6 + 0.01 * i, "unseen": 0.3, "zsl": 0.3} for i in range(3)]
    line = line_of(build("table1", "ucf", runs={("KDA", "ucf"): near}), *KDA)
    assert line.shown_difference(UCF, "seen") == "≠ −22.98"


def test_one_run_cannot_tell(build):
    made = build("table1", "ucf", runs={("KDA", "ucf"): SEEDS[:1]})
    assert line_of(made, *KDA).shown_difference(UCF, "seen") == "? −33.98"
    assert "a single run cannot tell" in drawings.draw(made)


def test_nothing_printed_stands_beside_synthetic_data(build):
    made = build("table1", "demo", runs={("KDA", "demo"): [{"synthetic": True}]})
    assert not any(line.printed for line in made.grids[0].lines)
    text = " ".join(drawings.draw(made).split())  # wherever its lines end
    assert "SYNTHETIC data" in text
    assert "83.98" not in text
    assert "printed: " not in text
    assert "nothing can be compared" in text
    assert "a single run cannot tell" not in text
    assert "On demo, hashed stands in for word2vec and clip." in text


def test_real_and_synthetic_data_share_a_page_and_no_difference(build):
    demo = Column("demo", "mapped", "main", synthetic=True)
    made = build("table1", "demo", "ucf", runs={("KDA", "ucf"): SEEDS, ("KDA", "demo"): [{"synthetic": True}]})
    line = line_of(made, "KDA", "clip of descriptions; hashed of descriptions")
    assert [line.shown_difference(column, "seen")[:1] for column in (UCF, demo)] == ["≈", ""]
    assert made.grids[0].columns == (UCF, demo)  # in the order of the recipe


@pytest.mark.parametrize("label", ["VIB-GZSL", "ACFS"])
def test_a_reimplementation_from_an_abstract_is_never_beside_its_paper(build, label):
    made = build("table1", "ucf", runs={(label, "ucf"): SEEDS})
    theirs, own = line_of(made, label), line_of(made, f"{label} (from the abstract)", "word2vec of names")
    assert (bool(theirs.printed), bool(theirs.measured), bool(own.printed), bool(own.measured)) == (True, False, False, True)
    assert not any(one.shown_difference(UCF, "seen") for one in (theirs, own))
    assert any("re-implementation from the abstract" in note for note in made.notes)


def test_another_model_than_the_printed_one_is_apart(build):
    made = build("table5", "ucf", runs={("GPT", "ucf"): SEEDS})
    assert line_of(made, "GPT").printed[UCF]["unseen"].mean == 22.32
    own = line_of(made, "GPT-2", "gpt2 of descriptions")
    assert own.measured
    assert not own.printed
    assert any("whose weights are not published" in note for note in made.notes)


def test_another_encoder_than_the_printed_one_is_apart(build):
    made = build("table5", "ucf", runs={("CLIP", "ucf"): SEEDS}, encoder="minilm")
    assert line_of(made, "CLIP").printed
    assert not line_of(made, "CLIP", "minilm of descriptions").printed
    assert "minilm stands in for clip, and is not compared with what is printed" in " ".join(made.heading)


def test_each_reason_why_a_line_was_not_run_is_told_once(build):
    made = build("table1", "ucf", runs={("KDA", "ucf"): SEEDS})
    reasons = [note for note in made.notes if note.startswith("Not run: ")]
    assert len(reasons) == 2  # the features, and the sequences of TCaF
    assert sum("--temporal" in reason for reason in reasons) == 1
    text = drawings.draw(made)
    assert text.count("not run") == 12


def test_a_failed_run_and_one_of_partial_data_say_so(build):
    recipe, asked = recipes.find("table6"), Asked(("demo",), 1)
    found = works.plan(recipe, asked)
    made = page.page(recipe, found, asked, {found[0].plans[0].run_id: "the disk is full"})
    assert list(made.grids[0].lines[0].absent.values()) == ["Failed: the disk is full."]
    assert list(made.grids[0].lines[1].absent.values()) == ["Not run yet."]


def test_partial_data_reach_no_page(tmp_path, monkeypatch):
    recipe, asked = recipes.find("table6"), Asked(("demo",), 1)
    found = works.plan(recipe, asked, tmp_path)
    part = made_up(found[0], 0, status="partial data", synthetic=True)
    for work in found:
        work.plans[0].record.parent.mkdir()
        work.plans[0].record.touch()
    monkeypatch.setattr(page.records, "read", lambda path: part)
    made = page.page(recipe, found, asked)
    assert not any(line.measured for line in made.grids[0].lines)
    assert any("imported in part" in note for note in made.notes)


def test_what_was_chosen_on_validation_is_told_seed_by_seed(build):
    chosen = [{"grid": [{"alignment_weight": 5.0}], "winner": {"alignment_weight": value}} for value in (5.0, 0.1)]
    runs = {("chosen on validation", "ucf"): [{"selection": {"search": one}} for one in chosen]}
    (note,) = [note for note in build("table4", "ucf", runs=runs).notes if note.startswith("Chosen on validation")]
    assert note == "Chosen on validation on ucf, seed by seed: alignment_weight=5.0; alignment_weight=0.1."


def test_a_text_that_all_lines_share_stands_above_them(build):
    assert build("table6", "ucf").grids[0].title == "KDA by modality · clip of descriptions"
    assert build("table3", "ucf").grids[0].title == "Components of KDA"
    assert {len(line.subject) for line in build("table6", "ucf").grids[0].lines} == {1}
    assert {line.subject[-1] for line in build("table3", "ucf").grids[0].lines} == {"clip of names", "clip of descriptions"}


def test_a_line_that_the_paper_has_not_says_so(build):
    made = build("table3", "ucf")
    said = [line.subject[0] for line in made.grids[0].lines if "Not in Table 3 of chen2023: added here." in line.notes]
    assert said == ["KDA, equation 6 as printed"]


def test_findings_of_the_audit_stand_at_their_numbers(build):
    made = build("table1", "vggsound")
    cell = line_of(made, *KDA).printed[VGGSOUND]["harmonic_mean"]
    assert cell.mean == 10.45
    assert any("cannot follow" in note for note in cell.notes)
    assert any("cannot follow" in note for note in made.notes)


def test_changes_and_other_texts_come_first(build):
    heading = build("table3", "demo", settings={"epochs": "1"}, text="names").heading
    assert heading[0] == "Changed by --set, wherever a method has it: epochs=1."
    assert "The class text names takes the place of descriptions." in heading
    assert not any("own, which --text" in line for line in build("table3", "ucf", text="names").heading)
    assert any("own, which --text kda takes" in line for line in build("table3", "ucf").heading)
    assert not any("own, which --text kda takes" in line for line in build("table3", "demo").heading)


def test_what_is_said_of_printed_numbers_stands_where_there_are_some(build):
    said = "does not say which features this table is about"
    assert any(said in line for line in build("table3", "ucf").heading)
    assert any(said in line for line in build("table3", "demo", "ucf").heading)
    assert not any(said in line for line in build("table3", "demo").heading)
    assert any("paper's baseline" in line for line in build("table3", "demo").heading)


# formats


@pytest.fixture
def full(build):
    """Two data sets, one of them not run, with findings, footnotes, and a line of ours."""
    runs = {(label, "ucf"): SEEDS for label in ("Baseline", "KDA", "KDA, equation 6 as printed")}
    return build("table3", "ucf", "vggsound", runs=runs)


@pytest.mark.parametrize("format", [name for name in drawings.SUFFIXES])
def test_every_format_has_every_number(full, format, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = drawings.draw(full, format)
    rows = [row for row in published.printed() if (row.key, row.table) == ("chen2023", "3") and row.dataset != "activitynet"]
    assert len(rows) == 10
    for row in rows:
        assert all(f"{value:.2f}".rstrip("0").rstrip(".") in text for value in row.numbers.values())
    assert "24.84" in text
    assert "equation 6 as printed" in text
    assert "Not run" in text
    assert "cannot follow" in text


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_terminal_fits_and_cuts_nothing(full, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    text = drawings.draw(full)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for line in full.grids[0].lines:
        assert all(line.shown_difference(UCF, metric) in text for metric in full.grids[0].metrics)


def test_machines_read_one_row_a_line_and_data_set(full):
    rows = list(csv.DictReader(io.StringIO(drawings.draw(full, "csv"))))
    same = json.loads(drawings.draw(full, "json"))
    assert len(rows) == len(same["rows"]) == 12
    (kda,) = [row for row in same["rows"] if (row["line"], row["dataset"]) == ("KDA, clip of descriptions", "ucf")]
    assert kda["seen_percent"] == 60
    assert kda["printed_seen_percent"] == 83.98
    assert kda["difference_seen_percent"] == pytest.approx(-23.98)
    assert kda["printed_seen_within_prediction_interval"] is True
    assert (kda["n"], kda["encoder"], kda["text"], kda["synthetic"]) == (3, "clip", "descriptions@1", False)
    (absent,) = [row for row in same["rows"] if (row["line"], row["dataset"]) == ("KDA, clip of descriptions", "vggsound")]
    assert absent["seen_percent"] is None
    assert absent["printed_seen_percent"] == 13.3
    assert "Not run" in absent["notes"]
    assert same["heading"]
    assert any("prediction interval" in line for line in same["caption"])


def test_markdown_is_one_github_table(full):
    text = drawings.draw(full, "markdown")
    (block,) = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert {line.count("|") for line in block} == {2 + 2 * 5}
    assert "*difference*" in text


def test_latex_is_plain_and_typeset(full, tmp_path):
    text = drawings.draw(full, "latex")
    assert text.isascii()
    assert all(line.count("&") == 10 for line in text.splitlines() if line.endswith("\\\\") and "multicolumn" not in line)
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex (Debian: texlive-latex-recommended)")
    page = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{text}\end{{document}}"
    (tmp_path / "page.tex").write_text(page)
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_other_formats_are_refused(full):
    from avgzsl_bench.errors import AvgzslError

    with pytest.raises(AvgzslError, match="did you mean markdown"):
        drawings.draw(full, "markdwn")
