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


THREE = ("ucf", "vggsound", "activitynet")
TWO = ("ucf", "activitynet")
TABLES = {"1": (13, 2, THREE), "2": (10, 2, THREE), "3": (5, 1, THREE), "4": (6, 1, TWO), "5": (5, 1, TWO), "6": (3, 1, TWO)}


def of_chen2023():
    (paper,) = [paper for paper in published.papers() if paper.key == "chen2023"]
    return paper.row


def numbers(row):
    return tuple(value for value in (row.seen, row.unseen, row.harmonic_mean, row.zero_shot) if value is not None)


@pytest.fixture
def printed(shared):
    """(table, label, data set, its numbers) of everything that the paper's text prints."""
    lines = (shared / "specs" / "kda-paper.txt").read_text().splitlines()
    found = []
    for table, (systems, names, datasets) in TABLES.items():
        start = next(i for i, line in enumerate(lines) if line.startswith(f"Table {table}.")) + 5
        for line in lines[start : start + systems]:
            label, *rest = (part.strip() for part in line.strip("|").split("|"))
            values = [float(value) for value in rest[names - 1 :]]
            width = len(values) // len(datasets)
            assert len(values) == width * len(datasets)
            label = re.sub(r" \[\d+\]|[ ${}]|\\mathcal", "", label) if table != "6" else label
            found += [(table, label, name, tuple(values[width * k : width * k + width])) for k, name in enumerate(datasets)]
    for label in ("Label name", "LLM generated text"):
        values = re.findall(r"\d+\.\d+", next(line for line in lines if line.startswith(f"| {label}")))
        found += [("Figure 2", label, name, (float(value),)) for name, value in zip(THREE, values, strict=True)]
    return found


def test_every_number_of_chen2023_is_as_printed(printed):
    ours = [(row.table, row.label, row.dataset, numbers(row)) for row in of_chen2023()]
    assert sorted(ours) == sorted(printed)
    assert len(ours) == len(set(ours)) == 39 + 30 + 15 + 12 + 10 + 6 + 6
    assert sum(len(values) for *_, values in ours) == 4 * 84 + 3 * 28 + 6


def test_a_table_lacks_the_same_numbers_in_every_row():
    lacking = {
        (row.table, tuple(key for key in ("seen", "unseen", "zero_shot") if getattr(row, key) is None)) for row in of_chen2023()
    }
    assert lacking == {
        *((table, ()) for table in "123"),
        *((table, ("seen",)) for table in "456"),
        ("Figure 2", ("seen", "unseen", "zero_shot")),
    }


def test_only_tables_1_and_2_state_their_features():
    assert {row.table for row in of_chen2023() if row.stated} == {"1", "2"}
    assert {(row.features, row.split) for row in of_chen2023() if row.table == "1"} == {("selavi", "main")}
    assert {(row.features, row.split) for row in of_chen2023() if row.table == "2"} == {("c3d_vggish", "cls")}


def test_what_is_printed_once_more_has_the_features_of_the_table_that_prints_it_first():
    """By HM, the one number that every table has."""
    headline = {(row.dataset, row.features, row.harmonic_mean) for row in published.rows() if row.label == "KDA"}
    again = [row for row in of_chen2023() if not row.stated and not row.variant]
    assert sorted((row.table, row.dataset) for row in again) == sorted(
        [(table, name) for table in ("3", "Figure 2") for name in THREE] + [(table, name) for table in "456" for name in TWO]
    )
    assert {(row.dataset, row.features, row.harmonic_mean) for row in again} <= headline
    assert {row.features for row in again if row.dataset == "vggsound"} == {"c3d_vggish"}


def test_ablations_are_of_one_kind_a_table():
    kinds = {"1": "", "2": "", "3": "components", "4": "weight", "5": "encoder", "Figure 2": "text", "6": "modality"}
    assert {(row.table, row.ablation) for row in of_chen2023()} == set(kinds.items())
    assert {row.ablation for row in published.rows()} == {""}
    assert [row.label for row in published.rows("weight") if row.dataset == "ucf"] == ["0.1", "1", "5", "10", "20", "100"]


def test_the_class_text_of_a_number_is_said_as_far_as_it_is_known():
    texts = {(row.method, row.encoder, row.text) for row in of_chen2023() if not row.ablation}
    assert {method for method, *text in texts if text == ["", ""]} == {"vib_gzsl", "acfs"}, "only their abstracts are known"
    assert [text for method, *text in texts if method == "kda"] == [["clip", "kda"]]
    assert {method for method, *text in texts if text == ["word2vec", "names"]} == {method for method, *_ in texts} - {
        "kda",
        "vib_gzsl",
        "acfs",
    }
    assert {(row.encoder, row.text) for row in of_chen2023() if row.label == "Baseline"} == {("", "names")}


def test_a_method_has_one_label():
    labels = {(row.method, row.label) for row in of_chen2023() if not row.ablation}
    assert len(labels) == len({method for method, _ in labels}) == 13


# the other papers

NAMES = {
    "ACFS/AVFS": "ACFS",
    "ClipClap re-run": "ClipClap-GZSL, run again",
    "frozen LanguageBind": "LanguageBind (nothing trained)",
}
FEATURES = {"M": "selavi", "C": "c3d_vggish", "L": "clip_clap", "own": "languagebind", "?": "unknown"}


def of(key):
    return [row for row in published.printed() if row.key == key]


def column(cell):
    """The numbers of a cell of the notes: `S/U/HM/ZSL`, or an HM alone; nothing where none was found."""
    found = re.match(r"[*\d./]+", cell)
    return tuple(float(number) for number in found[0].strip("*").split("/")) if found else ()


def cells(line):
    return [cell.strip().strip("*") for cell in line.strip("|\n").split("|")]


def test_every_number_of_the_newer_systems_is_as_noted(shared):
    lines = (shared / "specs" / "others.md").read_text().partition("## 9.")[2].partition("## 10.")[0].splitlines()
    table = [cells(line) for line in lines if line.startswith("| ") and not line.startswith("| system")]
    noted = []
    for name, _, features, *columns, _ in table:
        place = NAMES.get(name, re.sub(r" \(.*\)", "", name)), FEATURES[features if features in FEATURES else features[0]]
        for dataset, cell in zip(("vggsound", "ucf", "activitynet"), columns, strict=True):
            noted += [(*place, dataset, column(cell.replace("**", "")))] * bool(column(cell.replace("**", "")))
    ours = [(row.label, row.features, row.dataset, set(row.numbers.values())) for row in published.printed()]
    missing = [own for own in noted if not any(own[:3] == other[:3] and set(own[3]) <= other[3] for other in ours)]
    assert missing == []
    assert len(noted) == 3 * 16 + 2


def test_the_baselines_of_clipclap_are_as_noted(shared):
    notes = (shared / "specs" / "others.md").read_text().partition("## 6.")[2].partition("## 7.")[0]
    ours = {(row.label, row.dataset): tuple(row.numbers.values()) for row in of("kurzendorfer2024") if not row.variant}
    for name in ("CJME", "AVGZSLNet", "AVCA", "Hyper-multiple"):
        line = next(line for line in notes.splitlines() if line.startswith(f"| {name} |"))
        for dataset, cell in zip(("vggsound", "ucf", "activitynet"), cells(line)[1:], strict=True):
            assert ours.pop((name, dataset)) == column(cell)
    assert {label for label, _ in ours} == {"ClipClap-GZSL"}
    again = {row.dataset: row.numbers for row in of("kurzendorfer2024") if row.variant == "run again by HSP-MoE"}
    words = re.search(r"README\): ([\d./]+); ([\d./]+); ([\d./]+) ", notes)
    assert [tuple(again[name].values()) for name in ("vggsound", "ucf", "activitynet")] == [
        column(cell) for cell in words.groups()
    ]


def test_what_was_not_read_in_its_paper_says_where():
    apart = {row.key for row in published.printed() if not row.via}
    assert apart == {"chen2023", "kurzendorfer2024"}
    assert all("github.com" in row.via for row in published.printed() if row.via)


def test_features_that_were_presumed_say_so_in_a_note():
    presumed = [row for row in published.printed() if not row.stated and row.key != "chen2023"]
    assert {row.key for row in presumed} == {"li2024", "li2025", "ma2026", "mo2024", "yang2026", "languagebind2024"}
    assert all("presumed" in row.note or "known" in row.note for row in presumed)
    assert {row.key for row in presumed if row.features == "unknown"} == {"mo2024", "yang2026"}


def test_every_citation_names_its_file():
    for paper in published.papers():
        keys = re.findall(r"@\w+\{(\S+),", paper.citation)
        assert keys == [paper.key] or (not keys and paper.key in {"demo", "hspmoe2026", "languagebind2024"}), paper.key
        assert paper.authors or paper.key in {"hspmoe2026", "languagebind2024"}


# rows of leaderboards


def row(**keys):
    place = {"key": "x2020", "method": "m", "label": "M", "dataset": "d", "features": "f", "split": "s"}
    return published.PublishedRow(**{**place, **keys})


@pytest.fixture
def shown(monkeypatch):
    """The main rows that leaderboards get of some."""

    def keep(*rows):
        monkeypatch.setattr(published, "papers", lambda: [published.Paper(title="T", year=2020, row=rows)])
        return published.rows()

    return keep


def test_a_row_that_only_repeats_another_is_in_no_leaderboard(shown):
    whole, part = row(seen=1, unseen=2, key="a"), row(unseen=2, key="b")
    assert shown(part, whole) == [whole]
    assert shown(part, row(seen=1, unseen=3)) == [part, row(seen=1, unseen=3)]
    assert len(shown(whole, row(unseen=2, features="g"), row(unseen=2, method="n"), row(unseen=2, variant="v"))) == 4


def test_of_two_rows_that_say_the_same_the_one_read_in_its_paper_stays(shown):
    own, copy = row(seen=1, key="b"), row(seen=1, key="a", via="elsewhere")
    assert shown(copy, own) == shown(own, copy) == [own]
    assert shown(own, row(seen=1, key="c")) == [own]
    assert published.printed() == [own, row(seen=1, key="c")]


def test_ablations_repeat_what_they_like(shown):
    twice = [row(seen=1, ablation="weight", label=label) for label in "ab"]
    assert shown(*twice, row(seen=1)) == [row(seen=1)]
    assert published.rows("weight") == twice


def test_where_a_number_was_printed_is_said_in_words():
    assert row(table="1").printed_in == "Table 1 of x2020"
    assert row(table="Figure 2").printed_in == "Figure 2 of x2020"
    assert row(table="1", via="a README").printed_in == "Table 1 of x2020, read in a README"
    assert row(via="a README").printed_in == "x2020, read in a README"


# recipes and strangers


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
