"""`avgzsl list`, `show` and `doctor`: everything registered shows, and what is missing comes with its command."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from avgzsl_bench import datasets, plugins, published
from avgzsl_bench.cli import _sections, doctor, show
from avgzsl_bench.cli import list as list_
from avgzsl_bench.errors import AvgzslError

MEMBERS = [(kind, name) for kind in plugins.FOLDERS for name in plugins.names(kind)]


@pytest.fixture
def call(monkeypatch):
    """Run one verb on a wide terminal and return what it prints."""
    monkeypatch.setenv("COLUMNS", "250")
    app = typer.Typer()
    for verb in (list_, show, doctor):
        app.command(verb.__name__.rpartition(".")[2], epilog=verb.EPILOG)(verb.command)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, arguments)
        if result.exception:
            raise result.exception
        return result.stdout

    return call


def register(monkeypatch, *members: plugins.Member) -> None:
    """Add members to a copy of the registry."""
    found = plugins.registry()
    copy = {kind: {name: [*rivals] for name, rivals in named.items()} for kind, named in found.members.items()}
    for member in members:
        copy[member.kind].setdefault(member.name, []).append(member)
    monkeypatch.setattr(plugins, "registry", lambda: found._replace(members=copy))


def rows_of(text: str, *start: str) -> list[list[str]]:
    """The words of the printed lines that start with these words."""
    return [line.split() for line in text.splitlines() if line.split()[: len(start)] == [*start]]


def test_list_names_everything(call):
    told = call("list")
    assert [(kind, name) for kind, name in MEMBERS if not rows_of(told, name, "built-in")] == []
    assert len(MEMBERS) > 20


def test_list_of_one_kind_names_that_kind_only(call):
    told = call("list", "losses")
    assert rows_of(told, "triplet", "built-in")
    assert not rows_of(told, "eszsl")


def test_an_unknown_kind_gets_a_near_match(call):
    with pytest.raises(AvgzslError, match="unknown kind 'method'; did you mean methods"):
        call("list", "method")


def test_list_needs_no_torch():
    script = """
import sys
from avgzsl_bench.cli import list
list.command(None)
print([name for name in ("torch", "pydantic", "numpy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_list_says_who_is_hidden_and_who_quarrels(call, monkeypatch):
    stranger = [plugins.Member("methods", name, "nowhere:X", origin) for name, origin in
                (("eszsl", "late 1.0"), ("new", "one 1.0"), ("new", "two 2.0"))]  # fmt: skip
    register(monkeypatch, *stranger)
    told = call("list", "methods")
    assert "hides the one of late 1.0" in " ".join(rows_of(told, "eszsl")[0])
    assert "also claimed by two 2.0" in " ".join(rows_of(told, "new")[0])


@pytest.mark.parametrize(("kind", "name"), MEMBERS)
def test_show_tells_about_every_member(call, kind, name):
    told = call("show", name)
    assert f"{plugins.singular(kind)} {name}" in told
    if kind != "datasets" and hasattr(target := plugins.load(kind, name), "Settings"):
        for key, field in target.Settings.model_fields.items():
            assert rows_of(told, key), key
            assert field.description, f"{kind} {name}: setting {key} has no description"


def test_show_tells_defaults_and_ranges(call):
    told = call("show", "eszsl")
    assert rows_of(told, "text_normalise", "unit", "unit", "|", "raw")
    assert rows_of(told, "feature_penalty", "1.0", "float", ">", "0")
    assert rows_of(told, "paper", "romera2015") or "Romera" in told


def test_show_tells_the_losses_that_fit(call):
    told = call("show", "kda")
    fitting = " ".join(rows_of(told, "alignment_loss")[-1])
    assert "wasserstein_batch" in fitting
    assert "cross_entropy" not in fitting


def test_a_name_of_two_kinds_shows_both(call):
    told = call("show", "devise")
    assert "method devise" in told
    assert "loss devise" in told


def test_show_marks_what_a_paper_chose_on_test(call, monkeypatch):
    recipe = published.Recipe(
        key="doe2026", method="kda", dataset="ucf", source="paper", chosen_on_test=("alignment_weight",),
        settings={"epochs": 7, "alignment_weight": 2.0},
    )  # fmt: skip
    other = recipe.model_copy(update={"method": "avca", "key": "roe2026"})
    everyone = recipe.model_copy(update={"method": "*", "dataset": "*", "key": "all2026", "settings": {"epochs": 3}})
    monkeypatch.setattr(published, "recipes", lambda: [recipe, other, everyone])
    told = call("show", "kda")
    assert "epochs=7, alignment_weight=2.0 (chosen on test)" in told
    assert "doe2026" in told
    assert "roe2026" not in told
    assert rows_of(call("show", "eszsl"), "all2026", "everything", "defaults")  # eszsl has no epochs


def test_show_counts_classes_by_role_and_split(call):
    told = call("show", "ucf")
    assert rows_of(told, "train", "30", "30")
    assert rows_of(told, "validation_unseen", "12", "12")
    assert rows_of(told, "test_unseen", "9", "6")
    assert rows_of(told, "unused", "BandMarching,", "BrushingTeeth,", "Typing")  # in cls, and not in main
    assert rows_of(told, "c3d_vggish", "cls", "128", "4096")


def test_synthetic_data_is_called_so(call):
    assert "dataset demo, synthetic" in call("show", "demo")


def test_an_unknown_name_gets_a_near_match_of_any_kind(call):
    with pytest.raises(AvgzslError, match="did you mean eszsl"):
        call("show", "ezsl")


def test_doctor_names_the_command_that_gets_what_is_missing(call):
    told = call("doctor")
    assert [
        row for row in rows_of(told, "ucf", "selavi", "main", "averaged", "no") if "`avgzsl data import ucf PATH" in " ".join(row)
    ]
    assert rows_of(told, "hashed", "yes")
    assert rows_of(told, "ucf", "selavi", "main", "temporal", "no")
    assert rows_of(told, "demo", "mapped", "main", "averaged", "yes")
    assert rows_of(told, "demo", "mapped", "main", "temporal", "yes")
    assert not rows_of(told, "ucf", "clip_clap", "cls", "temporal"), "there are no sequences of these"
    assert "none installed" in told or plugins.registry().plugins


def test_doctor_survives_what_is_broken(call, monkeypatch):
    def broken(*_):
        raise KeyError("fault of a plugin")

    monkeypatch.setattr(datasets, "get", broken)
    bad = plugins.Plugin("sick", "sick-dist 3.1", "ImportError: no module named nothing")
    monkeypatch.setattr(plugins, "registry", lambda found=plugins.registry(): found._replace(plugins=[bad]))
    told = call("doctor")
    assert "KeyError: 'fault of a plugin'" in told
    assert rows_of(told, "hashed", "yes")  # a later check
    assert rows_of(told, "sick", "sick-dist", "3.1", "ImportError:")


def test_a_bug_report_does_not_name_the_user(call, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    monkeypatch.setenv("AVGZSL_DATA", str(tmp_path / "somebody" / "features"))
    told = call("doctor", "--markdown")
    assert str(Path.home()) == str(tmp_path / "somebody")
    assert "somebody" not in told
    assert "| features | ~/features (not made yet) |" in told


def test_markdown_keeps_cells_apart():
    table = _sections.markdown([_sections.Section("t", [("a|b", "two\nlines")], ("x", "y")), _sections.Section("empty", [])])
    assert table == "### t\n\n| x | y |\n| --- | --- |\n| a\\|b | two lines |\n"


@pytest.mark.parametrize("verb", [list_, show, doctor])
def test_every_verb_gives_an_example_that_runs(call, verb):
    first, program, *arguments = verb.EPILOG.split()
    assert (first, program) == ("Example:", "avgzsl")
    assert call(*arguments)
