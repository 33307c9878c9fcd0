"""The generated files of a leaderboard's folder: written whole, checked byte by byte, and the same on every machine."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import decided
import pytest
import tables

from avgzsl_bench import board, datasets, hookimpl, plugins, published
from avgzsl_bench.board import pages, table
from avgzsl_bench.board.measured import Place
from avgzsl_bench.board.slugs import slugs
from avgzsl_bench.errors import AvgzslError


@pytest.fixture
def folder(full, monkeypatch):
    """The same with no paper, so that it has no other keys."""
    monkeypatch.setattr(published, "papers", list)
    return full


@pytest.fixture
def full(tmp_path):
    """A leaderboard of two keys, with its records only, beside everything that papers print."""
    root = tmp_path / "leaderboards"
    for seed in range(2):
        decided.record(root / "records", seed, 0.8)
        decided.record(root / "records", seed, 0.5, dataset="demo", features="mapped")
    return root


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def generated(folder):
    return {path: content for path, content in files(folder).items() if path.parts[0] != "records"}


DEMO = "demo-mapped-main-clip-of-names-1-paper-corrected-synthetic"
UCF = "ucf-selavi-main-clip-of-names-1-paper-corrected-synthetic"


# what there is


def test_a_folder_gets_its_pages_and_two_tables_a_key(full):
    pages.update(full)
    found = {str(path) for path in generated(full)}
    sections = table.build(board.gather([full / "records"])[0], published.rows()).sections
    assert {"README.md", "index.html", "text.md"} < found
    assert {f"tables/{name}{suffix}" for name in (DEMO, UCF) for suffix in (".tex", ".csv")} < found
    assert len(found) == 3 + 2 * len(sections)


def test_each_file_is_what_the_renderers_and_the_ablation_make(full, monkeypatch):
    monkeypatch.setenv("AVGZSL_PLUGINS", "")
    plugins.registry.cache_clear()
    pages.update(full)
    found = generated(full)
    by_name = {str(path): content.decode() for path, content in found.items()}
    assert by_name["README.md"] == board.leaderboard([full / "records"], "markdown")
    assert by_name["index.html"] == board.leaderboard([full / "records"], "html")
    assert by_name["text.md"] == board.draw_ablation(board.text_ablation([full / "records"]), markdown=True)
    assert by_name[f"tables/{UCF}.csv"].count("\n") == 2
    assert "demo" in by_name[f"tables/{DEMO}.tex"]
    assert "demo" not in by_name[f"tables/{UCF}.tex"]
    plugins.registry.cache_clear()


# checking


def test_a_fresh_folder_has_no_differences_and_an_update_does_nothing(folder):
    assert pages.update(folder)
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert pages.check(folder) == pages.update(folder) == []
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == stamps


def test_missing_stale_and_surplus_files_are_named_and_nothing_is_written(folder):
    pages.update(folder)
    (folder / "index.html").unlink()
    (folder / "README.md").write_text("edited")
    (folder / "tables" / f"{UCF}.csv").write_bytes((folder / "tables" / f"{UCF}.csv").read_bytes().replace(b"\n", b"\r\n"))
    (folder / "tables" / f"{UCF}.tex").rename(folder / "tables" / "gone.tex")
    before = files(folder)
    assert [str(one) for one in pages.check(folder)] == [
        f"stale: {folder}/README.md",
        f"missing: {folder}/index.html",
        f"missing: {folder}/tables/{UCF}.tex",
        f"stale: {folder}/tables/{UCF}.csv",
        f"surplus: {folder}/tables/gone.tex",
    ]
    assert files(folder) == before
    pages.update(folder)
    assert pages.check(folder) == []
    assert not (folder / "tables" / "gone.tex").exists()


def test_a_new_record_makes_the_pages_stale(folder):
    pages.update(folder)
    decided.record(folder / "records", 2, 0.8)
    assert {one.path.name for one in pages.check(folder)} == {"README.md", "index.html", "text.md", f"{UCF}.tex", f"{UCF}.csv"}


def test_tables_of_keys_that_are_gone_are_removed(folder):
    pages.update(folder)
    for path in (folder / "records").glob("kda-demo-*"):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    removed = [one.path.name for one in pages.update(folder) if one.kind == "surplus"]
    assert removed == [f"{DEMO}.csv", f"{DEMO}.tex"]
    assert not list((folder / "tables").glob("demo*"))


def test_what_is_not_generated_is_left_alone(folder):
    pages.update(folder)
    own = {"notes.md": "mine", "tables/mine.csv": "a,b\n1,2\n", "tables/mine.tex": "\\section{Mine}\n", "tables/plot.png": "png"}
    for name, text in own.items():
        (folder / name).write_text(text)
    (folder / "tables" / "folder.csv").mkdir()
    (folder / "tables" / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    assert pages.check(folder) == pages.update(folder) == []
    assert all((folder / name).read_text() == text for name, text in own.items())
    assert (folder / "tables" / "bytes.csv").exists()


def test_a_table_of_another_version_is_surplus_too(folder):
    pages.update(folder)
    header = (folder / "tables" / f"{UCF}.csv").read_text().partition("\n")[0]
    (folder / "tables" / "old.csv").write_text(f"{header.rpartition(',')[0]}\nx\n")
    assert [one.kind for one in pages.check(folder)] == ["surplus"]


# the same bytes everywhere

ELSEWHERE = """
import sys
from pathlib import Path
from avgzsl_bench.board import pages
folder = Path(sys.argv[1])
print(*(str(one) for one in pages.check(folder)), sep="\\n")
"""


def test_another_process_another_place_and_other_words_of_the_shell_make_the_same_bytes(full, tmp_path):
    pages.update(full)
    shell = {"LC_ALL": "C", "TZ": "Asia/Tokyo", "COLUMNS": "60", "PYTHONHASHSEED": "7", "AVGZSL_DATA": str(tmp_path / "other")}
    command = [sys.executable, "-c", ELSEWHERE, os.path.relpath(full, tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **shell})
    assert (done.stdout.strip(), done.stderr) == ("", "")


class Stranger:
    """A plugin that prints numbers and finds faults."""

    def __init__(self, paper):
        self.paper = paper

    @hookimpl
    def published(self):
        return self.paper

    @hookimpl
    def check_record(self, record):
        return "a fault"


PAPER = """
title = "t"
authors = "a"
year = 2030
[[row]]
method = "kda"
label = "Strange"
dataset = "ucf"
features = "selavi"
split = "main"
harmonic_mean = 12.0
"""


def test_plugins_do_not_enter(full, tmp_path, monkeypatch):
    pages.update(full)
    paper = tmp_path / "stranger2030.toml"
    paper.write_text(PAPER)
    point = SimpleNamespace(name="stranger", value="stranger", dist=None, load=lambda: Stranger(paper))
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    monkeypatch.delenv("AVGZSL_PLUGINS", raising=False)
    plugins.registry.cache_clear()
    shown = board.leaderboard([full / "records"], "markdown")
    assert "a fault" in shown
    assert "Strange" in shown
    assert pages.check(full) == []
    plugins.registry.cache_clear()


def test_a_table_of_ones_own_on_this_machine_does_not_enter(folder, tmp_path):
    for epochs in (5, 7):
        decided.record(folder / "records", settings={"epochs": epochs}, dataset="mini", features="own", split="main")
    before = pages.contents(folder)
    tables.write(tmp_path / "table")
    assert "mini" in datasets.names()
    assert pages.contents(folder) == before


def test_the_shells_choice_of_plugins_is_as_it_was_afterwards(folder, monkeypatch):
    monkeypatch.setenv("AVGZSL_PLUGINS", "some")
    before = dict(os.environ)
    pages.contents(folder)
    (folder / "records" / "broken").mkdir()
    (folder / "records" / "broken" / "record.json").write_text("{")
    with pytest.raises(AvgzslError):
        pages.contents(folder)
    assert dict(os.environ) == before


def test_no_page_names_a_place_or_a_time_of_this_machine(folder, tmp_path):
    pages.update(folder)
    for path, content in generated(folder).items():
        assert str(tmp_path).encode() not in content, path


# bad input


def test_a_damaged_record_stops_everything_and_is_named(folder):
    pages.update(folder)
    before = files(folder)
    (path,) = list((folder / "records").glob("kda-demo-*"))[:1]
    record = json.loads((path / "record.json").read_text())
    record["metrics"]["seen"] += 0.1
    (path / "record.json").write_text(json.dumps(record))
    for work in (pages.check, pages.update):
        with pytest.raises(AvgzslError, match=r"record .*record\.json: seen .* does not follow from its decisions"):
            work(folder)
    assert generated(folder) == {path: content for path, content in before.items() if path.parts[0] != "records"}


def test_a_file_in_the_way_is_told_and_nothing_is_half_written(folder):
    (folder / "tables").write_text("in the way")
    with pytest.raises(AvgzslError, match="tables should be a folder"):
        pages.update(folder)
    assert (folder / "tables").read_text() == "in the way"


# names of keys


def test_names_of_keys_are_readable_and_never_the_same():
    place = Place("corrected", "ucf", "c3d_vggish", "cls", "clip of names@1", "paper")
    twins = [place, place._replace(dataset="UCF"), place._replace(features="c3d", split="vggish-cls")]
    names = slugs([*twins, place._replace(rules="reference")])
    assert names[3] == "ucf-c3d-vggish-cls-clip-of-names-1-paper-reference"
    assert all(name.startswith("ucf-c3d-vggish-cls-clip-of-names-1-paper-corrected-") for name in names[:3])
    assert len(set(names)) == 4
    assert slugs([place._replace(text="x" * 300)])[0].endswith("x-" + slugs([place._replace(text="x" * 300)])[0][-8:])
    assert len(slugs([place._replace(text="x" * 300)])[0]) < 150


def test_names_of_keys_hold_nothing_that_a_path_or_a_link_could_trip_over():
    odd = Place("../..", "a/b\\c", "", "</script>", "模型 λ", "%0a\n", True, ("content=1",))
    (name,) = slugs([odd])
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slugs([Place("模", "型", "", "", "", "")])[0]


# the command


def test_the_command_updates_checks_and_says_so(avgzsl, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    code, out, _ = avgzsl("leaderboard", "--check")
    assert (code, out.splitlines()[0]) == (1, "missing: leaderboards/README.md")
    assert sorted(path.name for path in folder.iterdir()) == ["records"]
    code, out, _ = avgzsl("leaderboard", "--update")
    assert (code, out.splitlines()[:3]) == (0, [f"wrote leaderboards/{name}" for name in ("README.md", "index.html", "text.md")])
    assert avgzsl("leaderboard", "--check") == (0, "", "leaderboards is fresh\n")
    (folder / "text.md").write_text("x")
    code, out, err = avgzsl("leaderboard", "--check", folder)
    assert (code, out, err) == (1, f"stale: {folder}/text.md\n", f"`avgzsl leaderboard --update {folder}` mends it\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--check", "--update"], "give one of them"),
        (["--check", "a", "b"], "one folder"),
        (["--update", "--format", "csv"], "neither --format"),
        (["--check", "--dataset", "ucf"], "neither --format"),
        (["--check", "--out", "x.md"], "neither --format"),
        (["--check", "nowhere"], "no records at nowhere/records"),
    ],
)
def test_words_that_do_not_go_together_are_one_line(refused, words, told):
    assert told in refused("leaderboard", *words)
