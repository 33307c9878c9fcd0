"""Description packs: where they are found, how they are served, and every fault that keeps one from being used."""

import csv

import pytest

from avgzsl_bench import datasets
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import data_root
from avgzsl_bench.text import packs, sources

NAMES = ("PlayDrum", "PlayGuitar", "Archery")
TEXTS = ("play drum", "play guitar", "archery")
CLASSES = tuple(ClassInfo(name, text, "train") for name, text in zip(NAMES, TEXTS, strict=True))
HEADER = ("name", "definition", "appearance", "sound")


def row(name):
    return (name, f"What {name} is.", f"How {name} looks.", f"How {name} sounds.")


ROWS = [row(name) for name in NAMES]


def pack(name="mine", **changes):
    entries = {name: dict(zip(packs.ASPECTS, texts, strict=True)) for name, *texts in ROWS}
    return packs.Pack(name, 3, "toy", "the tests", "MIT", entries)._replace(**changes)


def written(path, rows, header=HEADER, encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def served(source, rules="corrected", encoder="hashed", **choice):
    return sources.served(sources.choose(source, **choice), "toy", CLASSES, encoder, rules)


# found and served


def test_a_stored_pack_is_found_by_its_name():
    path = packs.store(pack(), CLASSES)
    assert path == data_root() / "packs" / "toy" / "mine.toml"
    assert packs.names("toy") == ["mine"]
    assert packs.find("mine", "toy", CLASSES) == pack()


def test_what_is_dumped_is_read_again_whatever_it_holds(tmp_path):
    odd = "It says \"yes\" \\ 'no' = [1] # é ✓ \U0001f941."
    entries = {**pack().entries, "Archery": {**pack().entries["Archery"], "sound": odd}}
    (tmp_path / "odd.toml").write_text(packs.dump(pack(entries=entries)), encoding="utf-8")
    assert packs.read(tmp_path / "odd.toml", "toy").entries["Archery"]["sound"] == odd


def test_an_origin_that_a_server_had_a_part_in_can_be_read_again():
    packs.store(pack(origin="by m (which answered as \x1b[31m\x7f\ud800), 2026"), CLASSES)
    assert packs.find("mine", "toy", CLASSES).origin == "by m (which answered as ?[31m??), 2026"


def test_texts_are_joined_by_the_name_of_the_class(tmp_path):
    found = served(written(tmp_path / "mine.csv", ROWS[::-1]))
    assert found.label == "mine@1"
    assert found.aspects == ("name", "definition", "appearance", "sound")
    assert [texts[:2] for texts in found.texts] == [(t, f"What {n} is.") for n, t in zip(NAMES, TEXTS, strict=True)]
    assert {len(texts) for texts in found.texts} == {4}


def test_aspects_choose_in_one_order_whatever_the_order_given(tmp_path):
    path = written(tmp_path / "mine.csv", ROWS)
    found = served(path, aspects="sound, name")
    assert found == served(path, aspects=("name", "sound"))
    assert found.label == "mine@1:name+sound"
    assert found.texts[0] == ("play drum", "How PlayDrum sounds.")
    assert found.sha256 != served(path).sha256
    with pytest.raises(AvgzslError, match="no aspect 'smell'; choose among name, definition, appearance, sound"):
        served(path, aspects="smell")


def test_the_order_of_aspects_in_a_file_decides_nothing(tmp_path):
    turned = {name: dict(reversed(entry.items())) for name, entry in pack().entries.items()}
    (tmp_path / "turned.toml").write_text(packs.dump(pack(entries=turned)))
    (tmp_path / "straight.toml").write_text(packs.dump(pack()))
    assert served(str(tmp_path / "turned.toml")) == served(str(tmp_path / "straight.toml"))


def test_a_file_that_changes_is_read_again(tmp_path):
    path = tmp_path / "mine.csv"
    first = served(written(path, ROWS))
    path.unlink()
    second = served(written(path, [*ROWS[:2], ("Archery", "Bow.", "Arrow.", "Twang.")]))
    assert first.sha256 != second.sha256


def test_only_kda_s_pack_keeps_the_order_of_its_file_and_only_under_reference_rules():
    packs.store(pack("kda", entries=dict(reversed(pack().entries.items()))), CLASSES)
    assert [texts[0] for texts in served("kda").texts] == list(TEXTS)
    assert [texts[0] for texts in served("kda", "reference", "clip").texts] == list(TEXTS[::-1])
    packs.store(pack(), CLASSES)
    with pytest.raises(AvgzslError, match="has no row order in the reference code"):
        served("mine", "reference", "clip")


def test_ours_are_found_for_their_data_sets_only():
    classes = datasets.get("ucf").classes("main")
    found = packs.find("descriptions", "ucf", classes)
    assert (found.name, found.dataset) == ("descriptions", "ucf")
    assert found.origin
    assert found.licence
    with pytest.raises(AvgzslError, match=r"unknown text of toy 'descriptions'; .*`avgzsl text list toy` lists them"):
        served("descriptions")


def test_names_that_stand_for_something_are_taken(tmp_path):
    with pytest.raises(AvgzslError, match="pack name 'names' is taken"):
        packs.store(pack("names"), CLASSES)
    with pytest.raises(AvgzslError, match="pack name 'descriptions' is taken"):
        packs.store(pack("descriptions", dataset="ucf"), CLASSES)
    with pytest.raises(AvgzslError, match="is named 'names'"):
        served(written(tmp_path / "names.csv", ROWS))
    with pytest.raises(AvgzslError, match="'My Pack' is no plain name"):
        served(written(tmp_path / "My Pack.csv", ROWS))
    with pytest.raises(AvgzslError, match=r"'\.\./mine' is no plain name"):
        packs.store(pack("../mine"), CLASSES)


@pytest.mark.parametrize("source", ["mne", "", "../mine"])
def test_an_unknown_pack_is_one_line_with_near_matches(source):
    packs.store(pack(), CLASSES)
    with pytest.raises(AvgzslError, match=r"unknown text of toy .*`avgzsl text list toy`") as error:
        served(source)
    assert ("did you mean mine" in str(error.value)) == (source in ("mne", "../mine"))


# faults

LONG = "one two three four five six seven " * 12
FAULTS = {
    "missing class": (ROWS[:2], r"no entry of class 'Archery'; "),
    "missing classes": (ROWS[:1], r"no entry of class 'PlayGuitar' \(2 are missing\)"),
    "unknown class": ([*ROWS, row("Archry")], "unknown class of toy 'Archry'; did you mean Archery"),
    "empty text": ([*ROWS[:2], ("Archery", "a", "  ", "c")], "appearance of 'Archery' is empty"),
    "class twice": ([*ROWS, row("Archery")], "class 'Archery' stands twice"),
    "text twice": ([*ROWS[:2], ("Archery", "what  playdrum is.", "b", "c")], "definition of 'Archery' is the same text as defin"),
    "text twice in a class": (
        [*ROWS[:2], ("Archery", "a", "b", "A")],
        "sound of 'Archery' is the same text as definition of 'Arch",
    ),
    "over-long": ([*ROWS[:2], ("Archery", "a", "b", LONG)], r"sound of 'Archery' has 86 CLIP tokens, and 77 fit.*\('one two"),
    "no text": ([*ROWS[:2], ("Archery", "a", "b", "caf\x82")], "sound of 'Archery' holds a character that is no text"),
    "two lines": ([*ROWS[:2], ("Archery", "a", "b", "c\nd")], "sound of 'Archery' holds a character that is no text"),
    "a cell more": ([*ROWS[:2], ("Archery", "a", "b", "c", "d")], "row 'Archery' has 5 cells, and there are 4 columns"),
    "nothing": ([], r"no entry of class 'PlayDrum' \(3 are missing\)"),
}


@pytest.mark.parametrize(("rows", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_one_line_that_names_the_entry(tmp_path, rows, message):
    path = written(tmp_path / "bad.csv", rows)
    with pytest.raises(AvgzslError, match=message) as error:
        served(path)
    assert "\n" not in str(error.value)
    assert path in str(error.value)


def test_what_is_no_text_or_no_pack_is_said_so(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(packs.dump(pack()).replace(f"sound = {packs._quoted(pack().entries['Archery']['sound'])}", "sound = 5"))
    with pytest.raises(AvgzslError, match="sound of 'Archery' is 5, which is no text"):
        served(str(path))
    plain = path.rename(tmp_path / "mine")
    with pytest.raises(AvgzslError, match=r"call the file mine\.toml, or \.csv"):
        served(str(plain))


def test_77_tokens_fit_and_78_do_not(tmp_path):
    fits = " ".join(["drum"] * 75)
    served(written(tmp_path / "fits.csv", [*ROWS[:2], ("Archery", "a", "b", fits)]))
    with pytest.raises(AvgzslError, match="has 78 CLIP tokens"):
        served(written(tmp_path / "long.csv", [*ROWS[:2], ("Archery", "a", "b", f"{fits} drum")]))


@pytest.mark.parametrize("header", [("name", "definition", "appearance"), ("name", "a", "b", "c"), (*HEADER, "sound")])
def test_other_columns_are_named(tmp_path, header):
    path = written(tmp_path / "bad.csv", [[""] * len(header)], header)
    with pytest.raises(AvgzslError, match=rf"has the columns {', '.join(header)}, not name, definition, appearance, sound"):
        served(path)


def test_another_encoding_is_named_with_its_place(tmp_path):
    rows = [*ROWS[:2], ("Archery", "a", "b", "A café by the range.")]
    path = written(tmp_path / "latin.csv", rows, encoding="latin-1")
    with pytest.raises(AvgzslError, match=r"is not UTF-8 in line 4 \(Archery,a,b,A caf\.\.\.\); save it as UTF-8"):
        served(path)
    toml = tmp_path / "latin.toml"
    toml.write_bytes(packs.dump(pack()).replace("How Archery sounds", "Café").encode("latin-1"))
    with pytest.raises(AvgzslError, match=r'is not UTF-8 in line 20 \(\[classes."Archery"\] sound = "Caf'):
        served(str(toml))
    wide = written(tmp_path / "wide.csv", ROWS, encoding="utf-16")
    with pytest.raises(AvgzslError, match="is not UTF-8 in line 1"):
        served(wide)


def test_a_byte_order_mark_and_other_line_ends_are_no_fault(tmp_path):
    path = tmp_path / "mine.csv"
    plain = served(written(path, ROWS))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n"))
    assert served(str(path)) == plain


def test_what_is_no_table_or_not_there_is_one_line(tmp_path):
    (tmp_path / "open.csv").write_text('name,definition,appearance,sound\nArchery,"a,b,c')
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    messages = {
        "open": "is no table",
        "empty": "has no columns, not name",
        "folder": "cannot be read",
        "nowhere": "cannot be read",
    }
    for name, message in messages.items():
        with pytest.raises(AvgzslError, match=f"{name}.csv {message}"):
            served(str(tmp_path / f"{name}.csv"))


HEADS = {
    "version": ('version = "new"', r"has version = 'new'; it needs"),
    "dataset": ("dataset = 'ucf'", "describes 'ucf', not 'toy'"),
    "name": ("name = 'A+B'", r"'A\+B' is no plain name"),
    "origin": ("", "has no 'origin'; it needs"),
}


@pytest.mark.parametrize("key", HEADS)
def test_the_head_of_a_pack_is_checked(tmp_path, key):
    line, message = HEADS[key]
    lines = [line if old.startswith(f"{key} =") else old for old in packs.dump(pack()).splitlines()]
    (tmp_path / "bad.toml").write_text("\n".join(lines))
    with pytest.raises(AvgzslError, match=message):
        served(str(tmp_path / "bad.toml"))


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ('[classes."Archery"]\nsound = "Twang."', r"is no TOML \(.*'Archery'.*twice"),
        ("[classes.Rowing]", "unknown class of toy 'Rowing'"),
        ("x = ", "is no TOML"),
    ],
)
def test_bad_toml_is_one_line(tmp_path, end, message):
    (tmp_path / "bad.toml").write_text(f"{packs.dump(pack())}{end}")
    with pytest.raises(AvgzslError, match=message) as error:
        served(str(tmp_path / "bad.toml"))
    assert "\n" not in str(error.value)


def test_an_entry_has_its_three_aspects_and_no_other(tmp_path):
    wrong = [{"definition": "a"}, {}, "a text", {**pack().entries["Archery"], "smell": "none"}]
    for i, entry in enumerate(wrong):
        text = packs.dump(pack(entries={name: pack().entries[name] for name in NAMES[:2]}))
        found = entry if isinstance(entry, dict) else {}
        lines = [f'{aspect} = "{said}"' for aspect, said in found.items()]
        head = '[classes."Archery"]' if isinstance(entry, dict) else '[classes]\n"Archery" = "a text"'
        path = tmp_path / f"bad_{i}.toml"
        path.write_text(
            "\n".join([text, head, *lines])
            if isinstance(entry, dict)
            else text.replace('[classes."PlayDrum"]', f'{head}\n[classes."PlayDrum"]')
        )
        with pytest.raises(AvgzslError, match=r"class 'Archery' has .*; it should have definition, appearance, sound"):
            served(str(path))


# by command


@pytest.fixture
def bad_run(refused, tmp_path):
    """Starts a run with demo's own descriptions, changed; it must be refused in one line."""
    own = packs.find("descriptions", "demo", datasets.get("demo").classes("main"))

    def run(change):
        entries = {name: dict(entry) for name, entry in own.entries.items()}
        change(entries)
        path = tmp_path / "pack.toml"
        path.write_text(packs.dump(own._replace(name="mine", entries=entries)))
        return refused("run", "-m", "eszsl", "-d", "demo", "--text", path, "--dry-run")

    return run


def test_a_run_refuses_each_of_them(bad_run):
    first, second, *_ = (info.name for info in datasets.get("demo").classes("main"))
    changes = {
        f"no entry of class '{first}'": lambda entries: entries.pop(first),
        "unknown class of demo 'purple_dog'": lambda entries: entries.update(purple_dog=entries[first]),
        f"sound of '{first}' is empty": lambda entries: entries[first].update(sound=" "),
        f"sound of '{second}' is the same text as sound of '{first}'": lambda entries: entries[second].update(
            sound=entries[first]["sound"]
        ),
        f"definition of '{first}' has 86 CLIP tokens": lambda entries: entries[first].update(definition=LONG),
        f"appearance of '{first}' holds a character that is no text": lambda e: e[first].update(appearance="A red d\ufffdg."),
    }
    for message, change in changes.items():
        assert message in bad_run(change)


def test_a_good_file_is_planned_and_named(avgzsl, tmp_path):
    own = packs.find("descriptions", "demo", datasets.get("demo").classes("main"))
    path = tmp_path / "pack.toml"
    path.write_text(packs.dump(own._replace(name="mine", version=7)))
    code, out, err = avgzsl("run", "-m", "eszsl", "-d", "demo", "--text", path, "--dry-run", "--json")
    assert code == 0, err
    assert '"text": "mine@7"' in out


def test_a_pack_in_the_folder_has_the_name_of_its_file(tmp_path):
    path = packs.store(pack(), CLASSES)
    path.rename(path.with_stem("other"))
    with pytest.raises(AvgzslError, match="is named 'mine' inside; give the file that name"):
        packs.find("other", "toy", CLASSES)
