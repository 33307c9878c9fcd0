"""The ablation of class text as it is drawn, and the command: what is shown, and which commands would fill what is missing."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from test_ablation import only_built_ins, run  # noqa: F401  (the fixture acts by being here)

from avgzsl_bench import board, hookimpl, plugins
from avgzsl_bench.board import ablation
from avgzsl_bench.board.cells import METRICS
from avgzsl_bench.board.grids import Column, Line
from avgzsl_bench.cli.text import ablation as command
from avgzsl_bench.errors import AvgzslError

ROOT = Path(__file__).resolve().parents[1]

# drawn


@pytest.fixture
def mixture():
    class Checker:
        @hookimpl
        def check_record(self, record):
            return ["odd"] if record["identity"]["encoder"] == "bert" else []

    runs = [run(seed, hm=0.41 + 0.02 * seed, zsl=1.0) for seed in range(12)]
    runs += [run(0, "bert", hm=0.123), run(0, "hashed", "names@1", "demo", hm=0.456)]
    runs += [run(0, "sentence_transformer", hm=0.2, encoder_settings={"model": "a/very-long-name-of-a-model"})]
    with plugins.listening(Checker()):
        yield ablation.build(runs)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_table_fits_and_loses_no_number(mixture, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    text = board.draw_ablation(mixture)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    assert "…" not in text
    for grid in mixture.grids:
        for line in grid.lines:
            cells = [row.measured[key] for row in line.measured.values() for key in grid.metrics]
            cells += [own[key] for own in line.printed.values() for key in grid.metrics]
            assert all(f"{cell.mean:.2f}" in text and cell.spread in text for cell in cells)


def test_the_numbers_of_a_column_end_in_one_place(mixture, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    block = board.draw_ablation(mixture).split("text descriptions@1")[1].split("\n\n")[0].splitlines()
    (head,) = [line for line in block if line.startswith("encoder")]
    ends = {match.end() for match in re.finditer(r"U|HM|ZSL", head)}
    rows = [line for line in block if re.match(r"bert|clip|  printed|  difference", line)]
    assert len(rows) >= 6
    assert {match.end() for line in rows for match in re.finditer(r"\d+\.\d\d", line)} <= ends


def test_settings_of_an_encoder_that_was_not_run_are_shown(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    runs = [run(0, "bert", "names@1"), run(0, "bert", encoder_settings={"pooling": "cls"})]
    names = board.draw_ablation(ablation.build(runs)).split("text names@1")[1].split("text descriptions")[0]
    assert re.search(r"bert +not run\npooling=cls", names)


def test_both_formats_say_what_is_synthetic_single_missing_and_different(mixture):
    for markdown in (False, True):
        text = board.draw_ablation(mixture, markdown)
        assert "SYNTHETIC data" in text
        assert "±–" in text
        assert "not run" in text
        assert "difference" in text
        assert "+10.90" in text  # 52.00 against the printed 41.10
        assert "printed: Table 5 of chen2023" in text or "Printed numbers: Table 5 of chen2023." in text
        assert "odd" in text


def test_markdown_is_github_tables_that_label_every_synthetic_column(mixture):
    text = board.draw_ablation(mixture, markdown=True)
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == len(mixture.grids)
    for block, grid in zip(blocks, mixture.grids, strict=True):
        assert {line.count("|") for line in block} == {2 + len(grid.columns) * (1 + len(grid.metrics))}
        assert set(block[1]) <= set("|-:")
        assert block[0].count("SYNTHETIC") == sum(own.synthetic for own in grid.columns) * (1 + len(grid.metrics))
        assert all(METRICS[metric] in block[0] for metric in grid.metrics)


# the command


def test_the_commands_it_ends_with_fill_the_missing_cells(avgzsl, tmp_path):
    base = ("run", "--method", "eszsl", "--dataset", "demo", "--out", tmp_path / "made here")
    assert avgzsl(*base)[0] == 0
    assert avgzsl(*base, "--text", "descriptions", "--aspects", "sound", "--set", "encoder.dim=64")[0] == 0
    code, out, err = avgzsl("text", "ablation", tmp_path / "made here", "--method", "eszsl")
    commands = [line for line in err.splitlines() if line.startswith("avgzsl run ")]
    assert code == 0
    assert out.count("not run") == 4
    assert len(commands) == 2
    for line in commands:
        assert avgzsl(*shlex.split(line)[1:])[0] == 0
    code, out, err = avgzsl("text", "ablation", tmp_path / "made here", "--method", "eszsl")
    assert (code, err) == (0, "")
    assert "not run" not in out
    assert "SYNTHETIC" in out


def test_a_command_fills_no_column_of_other_data():
    options = [("--method", "eszsl"), ("--dataset", "demo"), ("--encoder", "hashed"), ("--text", "names")]
    column = Column("demo", "demo", "main", synthetic=True)
    assert command._fills(options, column)
    assert not command._fills(options, column._replace(synthetic=False))
    for key in ("features_sha256", "dataset_revision"):
        assert not command._fills(options, column._replace(content=((key, "of others"),)))


def test_a_command_says_all_that_makes_its_table_and_its_line():
    (*_, grid) = [grid for grid in ablation.build([run(settings={"epochs": 2})]).grids if grid.setting.changed]
    assert ("--set", "epochs=2") in command._options(grid, grid.lines[0], grid.columns[0])
    strange = grid.setting._replace(rules="reference", form="paper", changed=("batch_size=8", "epochs=1 | 2"))
    line, column = Line(("clip", "model=ViT-L-14")), Column("ucf", "clip_clap", "main")
    options = command._options(replace(grid, kind="encoder", fixed=(ablation.OURS,), setting=strange), line, column)
    told = [f"{flag} {value}" for flag, value in options]
    for one in ("--rules reference", "--set form=paper", "--set batch_size=8", "--set encoder.model=ViT-L-14", "--split main"):
        assert one in told
    assert "--search epochs=1,2" in told
    assert "--set epochs=1 | 2" not in told


def test_no_command_for_what_is_not_on_this_machine(avgzsl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = avgzsl("text", "ablation")
    assert (code, err) == (0, "")
    assert "not run" in out
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_markdown_by_its_name_and_has_no_colours(avgzsl, tmp_path, monkeypatch):
    assert avgzsl("text", "ablation", tmp_path, "--out", tmp_path / "page.md")[1] == ""
    assert (tmp_path / "page.md").read_text() == board.draw_ablation(ablation.build([]), markdown=True)
    monkeypatch.setattr(board, "draw_ablation", lambda *_: "\x1b[1mbold\x1b[0m\n")
    avgzsl("text", "ablation", tmp_path, "--out", tmp_path / "page.txt")
    assert (tmp_path / "page.txt").read_text() == "bold\n"


def test_what_nobody_knows_is_one_line(refused, tmp_path):
    assert "did you mean kda" in refused("text", "ablation", tmp_path, "--method", "kdaa")
    assert "did you mean ucf" in refused("text", "ablation", tmp_path, "--dataset", "ufc", "--dataset", "ucf")
    assert "--method avca --dataset demo --text descriptions" in refused("text", "ablation", tmp_path, "--method", "avca")
    assert "no records at" in refused("text", "ablation", tmp_path / "nowhere")
    with pytest.raises(AvgzslError, match="no record of kda on demo here"):
        ablation.build([], datasets=["demo"])
