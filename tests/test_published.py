"""The files of printed numbers: ours hold what the paper prints, and a stranger's fault is one line."""

import re

import pytest

from avgzsl_bench import hookimpl, plugins, published
from avgzsl_bench.errors import AvgzslError

HEAD = 'title = "T"\nauthors = "A"\nyear = 2026\n'


@pytest.fixture
def stranger(tmp_path):
    """Publish files with these contents, as a plugin would."""
    paths = []

    class Stranger:
        @hookimpl
        def published(self):
            return list(paths)

    def write(name, text):
        paths.append(tmp_path / f"{name}.toml")
        paths[-1].write_text(text)
        return paths[-1]

    with plugins.listening(Stranger()):
        yield write


def recipe(settings="{ epochs = 1 }", **keys):
    lines = [f'{key} = "{value}"' for key, value in {"source": "paper", **keys}.items()]
    return "\n".join(["[[recipe]]", *lines, f"settings = {settings}", ""])


def test_every_file_of_ours_can_be_read():
    keys = [paper.key for paper in published.papers()]
    assert "chen2023" in keys
    assert all(paper.title and paper.year for paper in published.papers())


def test_tables_1_and_2_are_as_printed(shared):
    lines = (shared / "specs" / "kda-paper.txt").read_text().splitlines()
    start = {number: next(i for i, line in enumerate(lines) if line.startswith(f"Table {number}.")) for number in "12"}
    expected = set()
    for number, systems in (("1", 13), ("2", 10)):
        for line in lines[start[number] + 5 : start[number] + 5 + systems]:
            label, _, *numbers = (part.strip() for part in line.strip("|").split("|"))
            label = re.sub(r" \[\d+\]", "", label)
            for k, dataset in enumerate(("ucf", "vggsound", "activitynet")):
                expected.add((number, label, dataset, *map(float, numbers[4 * k : 4 * k + 4])))
    ours = [row for row in published.rows() if row.key == "chen2023"]
    found = {(r.table, r.label, r.dataset, r.seen, r.unseen, r.harmonic_mean, r.zero_shot) for r in ours}
    assert found == expected
    assert len(ours) == len(found) == 69
    assert {(row.table, row.features, row.split) for row in ours} == {("1", "selavi", "main"), ("2", "c3d_vggish", "cls")}


def test_a_method_has_one_label():
    labels = {(row.method, row.label) for row in published.rows() if row.key == "chen2023"}
    assert len(labels) == len({method for method, _ in labels}) == 13


def test_the_most_specific_recipe_wins(stranger):
    stranger(
        "x",
        HEAD
        + recipe(method="*", dataset="d", settings="{ which = 1 }")
        + recipe(method="m", settings="{ which = 2 }")
        + recipe(method="m", dataset="d", settings="{ which = 3 }")
        + recipe(method="m", dataset="d", features="f", form="reference", settings="{ which = 4 }"),
    )

    def which(*wanted):
        found = published.recipe_for(*wanted)
        return found and found.settings["which"]

    assert which("m", "d", "f", "s", "reference") == 4
    assert which("m", "d", "f", "s", "paper") == 3
    assert which("m", "e", "f", "s", "paper") == 2
    assert which("n", "d", "f", "s", "paper") == 1
    assert which("n", "e", "f", "s", "paper") is None


def test_two_equally_specific_recipes_are_an_error(stranger):
    for name in ("one", "two"):
        stranger(name, HEAD + recipe(method="m", dataset="d"))
    with pytest.raises(AvgzslError, match="one and two both have a recipe for m on d"):
        published.recipe_for("m", "d", "f", "s", "paper")


@pytest.mark.parametrize(
    "text",
    [
        "title = ",
        HEAD + "row = 3",
        HEAD + '[[row]]\ntable = "1"',
        HEAD + recipe(method="m", sauce="paper"),
        HEAD + recipe(method="m", source="hearsay"),
        HEAD + '[[row]]\ntable = "1"\nmethod = "m"\nlabel = "M"\ndataset = "d"\nfeatures = "f"\nsplit = "s"\nseen = 101',
        HEAD + '[[row]]\ntable = "5"\nmethod = "m"\nlabel = "M"\ndataset = "d"\nfeatures = "f"\nsplit = "s"\nablation = "voice"',
        'title = "no year"\nauthors = "A"',
    ],
)
def test_a_strangers_fault_is_one_line_and_stops_nothing(stranger, caplog, text):
    path = stranger("broken", text)
    assert "chen2023" in [paper.key for paper in published.papers()]
    published.rows()
    (line,) = caplog.messages
    assert str(path) in line
    assert "\n" not in line
    with pytest.raises(AvgzslError, match="broken"):
        published.parse(path)


def test_a_missing_file_is_told(stranger, caplog):
    stranger("gone", "").unlink()
    published.papers()
    assert "gone.toml cannot be read" in caplog.messages[0]


def test_a_taken_key_is_left_out_and_told(stranger, caplog):
    path = stranger("chen2023", HEAD)
    assert [paper.title for paper in published.papers() if paper.key == "chen2023"] != ["T"]
    assert str(path) in caplog.messages[0]
