"""A method that is known from its abstract alone says so everywhere, and is never ranked or compared."""

import csv
import io
import json
import sys

import pytest
import typer
from test_board import record, rows_of
from typer.testing import CliRunner

from avgzsl_bench import config, identity, leaderboard, plugins, published
from avgzsl_bench.board import table
from avgzsl_bench.cli import list as list_
from avgzsl_bench.cli import show
from avgzsl_bench.contracts import Method

LABEL = "re-implementation from the abstract"
ABSTRACT = [name for name in plugins.names("methods") if plugins.load("methods", name).known_from == "abstract"]


@pytest.fixture
def call(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    app = typer.Typer()
    app.command("list")(list_.command)
    app.command("show")(show.command)

    def call(*arguments):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        return result.stdout.splitlines()

    return call


def register(monkeypatch, *members):
    found = plugins.registry()
    copy = {kind: dict(named) for kind, named in found.members.items()}
    copy["methods"] |= {member.name: [member] for member in members}
    monkeypatch.setattr(plugins, "registry", lambda: found._replace(members=copy))


def abstract(seed=0, method="vib_gzsl", **changes):
    return record(seed, method=method, known_from="abstract", **changes)


# where methods are listed


def test_the_abstract_is_all_that_is_known_of_these():
    assert {"vib_gzsl", "acfs"} <= set(ABSTRACT)


def test_list_labels_exactly_the_methods_that_say_so(call):
    lines = {line.split()[0]: line for line in call("list", "methods") if len(line.split()) > 1}
    assert [name for name in plugins.names("methods") if LABEL in lines[name]] == ABSTRACT


def test_list_reads_a_strangers_source_and_survives_one_without(call, monkeypatch, tmp_path):
    source = """
class Base:
    known_from = "paper"

class Other:
    known_from: str = "abstract"
    def known_from_nothing(self): ...

MEMBER = Other
"""
    (tmp_path / "stranger_of_abstracts.py").write_text(source)
    (tmp_path / "stranger_in_ruins.py").write_text("class Broken(")
    monkeypatch.syspath_prepend(tmp_path)
    built = type("Built", (Method,), {"known_from": "abstract"})
    targets = {
        "direct": "stranger_of_abstracts:Other", "alias": "stranger_of_abstracts:MEMBER", "built": built,
        "base": "stranger_of_abstracts:Base", "ruins": "stranger_in_ruins:Broken", "gone": "nowhere.at.all:X",
    }  # fmt: skip
    register(monkeypatch, *(plugins.Member("methods", name, target, "one 1.0") for name, target in targets.items()))
    lines = {line.split()[0]: line for line in call("list", "methods") if len(line.split()) > 1}
    assert [name for name in targets if LABEL in lines[name]] == ["direct", "alias", "built"]
    assert "stranger_of_abstracts" not in sys.modules


def test_show_labels_them_and_no_others(call):
    assert any(LABEL in line for line in call("show", "vib_gzsl"))
    assert not any(LABEL in line for line in call("show", "avca"))


# in the record


@pytest.mark.parametrize(("name", "said"), [("vib_gzsl", "abstract"), ("constant", None)])
def test_the_record_says_it(name, said):
    (setting,) = config.resolve(name, "demo")
    assert identity.Material(setting).identity(0).get("known_from") == said


# on the leaderboard


def test_the_row_is_named_and_noted_and_has_no_rank():
    best, other = rows_of([abstract(hm=0.9), record(hm=0.2)])
    assert (best.name, best.tie_group, best.from_abstract) == ("vib_gzsl (from the abstract)", None, True)
    assert any(LABEL in note for note in best.notes)
    assert (other.name, other.tie_group, other.from_abstract) == ("kda", 1, False)
    assert not any(LABEL in note for note in other.notes)


def test_the_label_holds_where_the_method_is_not_installed():
    (row,) = rows_of([abstract(method="of_a_plugin")])
    assert (row.name, row.tie_group) == ("of_a_plugin (from the abstract)", None)
    assert any(LABEL in note for note in row.notes)


def test_the_label_stands_beside_the_form():
    assert rows_of([abstract(form="reference")])[0].name == "vib_gzsl (reference, from the abstract)"


def test_the_label_is_no_changed_setting():
    first, second = rows_of([abstract(), record(method="vib_gzsl", features_sha256="1" * 64)])
    assert not any("known_from" in change for change in (*first.changed, *second.changed))


def test_published_numbers_of_its_paper_stand_alone():
    rows = rows_of([abstract(encoder="word2vec"), record(method="avca", encoder="word2vec")], published.rows())
    own, other = (next(row for row in rows if row.n and row.method == name) for name in ("vib_gzsl", "avca"))
    assert own.printed_in == ""
    assert all(cell.mean is None for cell in own.published.values())
    assert other.printed_in == "Table 1 of chen2023"
    (alone,) = [row for row in rows if row.name == "VIB-GZSL" and row.published["seen"].mean == 90.35]
    assert (alone.n, alone.tie_group, alone.from_abstract) == (0, None, False)


def test_another_methods_published_numbers_are_not_lost():
    """One row is a re-implementation, the other of the same name is not: the printed numbers go to the latter."""
    place = {"dataset": "ucf", "features": "selavi", "split": "main", "encoder": "clip", "text": "names"}
    printed = published.PublishedRow(key="x2020", table="1", method="vib_gzsl", label="VIB", seen=1, **place)
    rows = rows_of([abstract(hm=0.9), record(method="vib_gzsl", hm=0.1)], [printed])
    assert [row.name for row in rows if row.n and row.printed_in] == ["vib_gzsl"]


def test_every_renderer_shows_name_note_and_no_rank(monkeypatch):
    runs = [abstract(seed, hm=0.9) for seed in range(2)] + [record(hm=0.2)]
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("terminal", "markdown"):
        text = leaderboard(runs, name)
        assert LABEL in " ".join(text.split())
        (line,) = [line for line in text.splitlines() if "vib_gzsl (from the abstract)" in line.replace("\\", "")]
        assert line.strip("| ").startswith("–")
        if name == "markdown":
            assert "<sup>" in line
            assert "90.35" not in line
    flat = csv.DictReader(io.StringIO(leaderboard(runs, "csv")))
    (row,) = [row for row in flat if row["name"] == "vib_gzsl (from the abstract)"]
    assert (row["tie_group"], row["from_abstract"], row["published_seen_percent"], row["printed_in"]) == ("", "True", "", "")
    assert LABEL in row["notes"]
    (row,) = [row for row in json.loads(leaderboard(runs, "json"))["rows"] if row["name"] == "vib_gzsl (from the abstract)"]
    assert (row["tie_group"], row["from_abstract"], row["published_seen_percent"]) == (None, True, None)
    assert LABEL in row["notes"]


def test_the_footnote_is_told_once():
    notes = table.build([abstract(), abstract(encoder="bert"), abstract(split="cls")], ()).notes
    assert sum(LABEL in note for note in notes) == 1
