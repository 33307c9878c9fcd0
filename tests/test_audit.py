"""The alignment audit and the import of KDA's files: which classes get another class's text from the reference loaders."""

import csv
import shutil

import pytest

from avgzsl_bench import datasets
from avgzsl_bench.text import audit, kda_files, packs, sources

FOLDERS = {"ucf": "UCF", "activitynet": "ActivityNet", "vggsound": "VGGSound"}
PUBLISHED = {  # (data set, split) -> (wrong, classes) of all, train, validation unseen, seen test and unseen test classes
    ("ucf", "main"): ((79, 101), (23, 30), (8, 12), (31, 42), (5, 9)),
    ("ucf", "cls"): ((79, 101), (23, 30), (8, 12), (31, 42), (4, 6)),
    ("activitynet", "main"): ((8, 200), (5, 99), (2, 51), (7, 150), (1, 50)),
    ("activitynet", "cls"): ((8, 200), (5, 99), (2, 51), (7, 150), (1, 48)),
    ("vggsound", "main"): ((205, 309), (84, 138), (51, 69), (135, 207), (42, 69)),
    ("vggsound", "cls"): ((205, 309), (84, 138), (51, 69), (135, 207), (38, 64)),
}
TOTALS = {place: tuple((0, total) for _, total in counts) for place, counts in PUBLISHED.items()}


def classes(dataset, split="main"):
    return datasets.get(dataset).classes(split)


def known():
    return {name: classes(name) for name in kda_files.SORTED}


def counted(dataset, split="main"):
    found = audit.orders(dataset, classes(dataset, split))
    return {(order.source, order.encoder): tuple(audit.counts(order, classes(dataset, split)).values()) for order in found}


# the audit


@pytest.mark.parametrize(("dataset", "split"), PUBLISHED)
def test_counts_are_the_documented_ones(dataset, split):
    wrong, right = PUBLISHED[dataset, split], TOTALS[dataset, split]
    fixed = right if dataset == "ucf" else wrong  # KDA's file of UCF and ClipClap's spelling of it are in the order of the ids
    assert counted(dataset, split) == {("names", "word2vec"): wrong, ("names", "clip+clap"): fixed, ("kda", "clip"): fixed}


@pytest.mark.parametrize("dataset", FOLDERS)
def test_the_order_of_kda_s_files_is_stated_as_they_have_it(shared, dataset):
    stated = kda_files.row_order(dataset, classes(dataset))
    (found,) = kda_files.read(shared / "official" / FOLDERS[dataset] / "class-split" / "descriptions_kda.csv", known())
    names = [info.name for info in classes(dataset)]
    assert [names.index(name) for name in found.entries] == stated


def test_an_imported_file_is_audited_itself():
    turned = dict(reversed({info.name: {} for info in classes("ucf")}.items()))
    entries = {name: {aspect: f"{aspect} of {name}." for aspect in packs.ASPECTS} for name in turned}
    packs.store(packs.Pack("kda", 1, "ucf", "the tests", "MIT", entries), classes("ucf"))
    assert counted("ucf")["kda", "clip"][0] == (100, 101)  # all but the class in the middle


def test_a_data_set_of_ones_own_has_no_file_of_kda():
    assert set(counted("demo")) == {("names", "word2vec"), ("names", "clip+clap")}


@pytest.mark.parametrize("dataset", FOLDERS)
def test_the_audit_says_what_reference_rules_serve(dataset):
    own = classes(dataset)
    order = audit.orders(dataset, own)[0]
    served = sources.served(sources.Choice(), dataset, own, order.encoder, "reference")
    assert [own[i].text_name for i in order.rows] == [text for (text,) in served.texts]


def test_the_command_draws_a_table_that_fits(avgzsl, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = avgzsl("text", "audit")
    assert (code, err) == (0, "")
    assert " ucf          main   word2vec   79/101   23/30   8/12    31/42    5/9    " in out
    rows = [line.split() for line in out.splitlines() if "/" in line]
    assert len(rows) == 18
    assert all(len(row) == 8 for row in rows)


def test_the_command_lists_every_class(avgzsl, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    out = avgzsl("text", "audit", "ucf", "--all")[1]
    rows = [line.split() for line in out.split("sorted names")[1].splitlines()[2:] if line.strip()]
    assert len(rows) == 79
    assert ["Typing", "UnevenBars", "test_unseen"] in rows
    assert ["WallPushups", "CleanAndJerk", "train"] in rows


def test_markdown_is_for_the_readme(avgzsl):
    out = avgzsl("text", "audit", "--markdown")[1]
    lines = out.strip().splitlines()
    assert lines[2] == "| data set | split | text | all | train | val. unseen | seen test | unseen test |"
    assert lines[4] == "| ucf | main | word2vec | 79/101 | 23/30 | 8/12 | 31/42 | 5/9 |"
    assert len(lines) == 4 + 18


# import of KDA's files


def write(path, rows, header=kda_files.HEADER, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([header, *rows])
    return path


def rows(dataset="ucf"):
    return [(info.text_name, *(f"{aspect} of {info.name}." for aspect in packs.ASPECTS)) for info in classes(dataset)]


def test_the_release_is_imported_word_for_word(shared, avgzsl):
    code, out, err = avgzsl("text", "import", "kda", shared / "official")
    assert (code, err) == (0, "")
    assert out.count(" classes of ") == 3
    for dataset, folder in FOLDERS.items():
        with (shared / "official" / folder / "class-split" / "descriptions_kda.csv").open(encoding="utf-8", newline="") as file:
            theirs = list(csv.reader(file))[1:]
        pack = packs.find("kda", dataset, classes(dataset))
        assert [list(entry.values()) for entry in pack.entries.values()] == [[cell.strip() for cell in row[1:]] for row in theirs]
        assert max(packs.clip_tokens(text) for entry in pack.entries.values() for text in entry.values()) <= 77
        lost = sum("__" in text for entry in pack.entries.values() for text in entry.values())
        assert lost == (0 if dataset == "ucf" else 11)
        assert (f"in {lost} texts __ stands where a dash was lost" in pack.origin) == bool(lost)


@pytest.mark.parametrize(("dataset", "wrong"), [("ucf", 0), ("vggsound", 205), ("activitynet", 8)])
def test_only_reference_rules_serve_the_texts_of_others(shared, avgzsl, dataset, wrong):
    avgzsl("text", "import", "kda", shared / "official" / FOLDERS[dataset])
    own = classes(dataset)
    found = {
        rules: sources.served(sources.choose("kda"), dataset, own, "clip", rules).texts for rules in ("corrected", "reference")
    }
    names = [info.text_name for info in own]
    assert [texts[0] for texts in found["corrected"]] == names
    assert sum(texts[0] != name for texts, name in zip(found["reference"], names, strict=True)) == wrong
    assert sorted(found["reference"]) == sorted(found["corrected"])


def test_rows_keep_the_order_of_the_file_and_lose_the_space_around_them(tmp_path):
    cells = [*rows()[::-1]]
    cells[0] = (*cells[0][:3], "It rings. \n")
    (pack,) = kda_files.read(write(tmp_path / "UCF.csv", cells), known())
    assert list(pack.entries) == [info.name for info in classes("ucf")][::-1]
    assert pack.entries["YoYo"]["sound"] == "It rings."


def test_a_folder_gives_what_it_holds_and_other_tables_are_passed_over(tmp_path, avgzsl):
    write(tmp_path / "UCF" / "class-split" / "UCF.csv", rows())
    write(tmp_path / "VGGSound" / "class-split" / "VGGSound.csv", rows("vggsound"))
    write(tmp_path / "UCF" / "class-split" / "names.csv", [("Archery", "archery")], ("original", "manual"))
    code, out, _ = avgzsl("text", "import", "kda", tmp_path)
    assert code == 0
    assert [line.partition(":")[0] for line in out.splitlines()[:2]] == ["101 classes of ucf", "309 classes of vggsound"]
    assert packs.names("ucf") == ["descriptions", "kda"]


FAULTS = {
    "columns": (rows(), ("name", "d1", "d2", "d3"), "utf-8", "has the columns name, d1, d2, d3, not name, description_1"),
    "missing": (rows()[1:], kda_files.HEADER, "utf-8", "no entry of class 'ApplyEyeMakeup'"),
    "unknown": ([*rows()[1:], ("Archry", "a", "b", "c")], kda_files.HEADER, "utf-8", "unknown class of ucf 'Archry'; did you"),
    "twice": ([*rows(), rows()[2]], kda_files.HEADER, "utf-8", "class 'Archery' stands twice"),
    "empty": ([*rows()[1:], (*rows()[0][:3], "")], kda_files.HEADER, "utf-8", "sound of 'ApplyEyeMakeup' is empty"),
    "encoding": (
        [*rows()[1:], (*rows()[0][:3], "café")],
        kda_files.HEADER,
        "latin-1",
        "is not UTF-8 in line 102 (Apply Eye Makeup",
    ),
    "cells": ([*rows()[1:], rows()[0][:3]], kda_files.HEADER, "utf-8", "row 'Apply Eye Makeup' has 3 cells"),
    "strange": (
        [("a", "b", "c", "d")],
        kda_files.HEADER,
        "utf-8",
        "describes the classes of no data set (its first row is of 'a')",
    ),
    "no rows": ([], kda_files.HEADER, "utf-8", "describes the classes of no data set (it has no rows)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_nothing_is_stored(fault, tmp_path, refused):
    cells, header, encoding, message = FAULTS[fault]
    path = write(tmp_path / "UCF.csv", cells, header, encoding)
    assert message in refused("text", "import", "kda", path)


def test_one_bad_file_of_a_folder_stops_the_import(tmp_path, refused):
    write(tmp_path / "UCF.csv", rows())
    write(tmp_path / "VGGSound.csv", rows("vggsound")[1:])
    assert "no entry of class 'air conditioning noise'" in refused("text", "import", "kda", tmp_path)
    shutil.copy(tmp_path / "UCF.csv", tmp_path / "VGGSound.csv")
    assert "both describe ucf; give the path of one" in refused("text", "import", "kda", tmp_path)


def test_what_is_not_there_is_one_line(tmp_path, refused):
    (tmp_path / "empty").mkdir()
    assert "holds no description file of KDA" in refused("text", "import", "kda", tmp_path / "empty")
    assert "is not there" in refused("text", "import", "kda", tmp_path / "nowhere")
    assert "only KDA's are imported" in refused("text", "import", "tcaf", tmp_path)
    run = ("run", "-m", "eszsl", "-d", "demo", "--text", "kda", "--dry-run")
    assert "KDA's texts of demo are not on this machine; `avgzsl text import kda PATH`" in refused(*run)
