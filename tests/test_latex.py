"""The leaderboard as LaTeX: any text is set by a bare installation of TeX, and the tables say what the others say."""

import re
import shutil
import subprocess
import unicodedata

import decided
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgzsl_bench import plugins, published
from avgzsl_bench.board import table
from avgzsl_bench.board.renderers._tex import escape
from avgzsl_bench.board.renderers.latex import LINES, Latex
from avgzsl_bench.published import PublishedRow

DOCUMENT = r"""\documentclass[a4paper]{article}
\usepackage{booktabs,array,graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.fixture
def compiled(tmp_path):
    """Sets the body of a document by pdflatex, as Debian's texlive-latex-recommended has it; returns its log and its pages."""
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex, from Debian's texlive-latex-recommended")

    def run(body):
        (tmp_path / "board.tex").write_text(DOCUMENT % body, encoding="ascii")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "board.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
        assert done.returncode == 0, done.stdout[-2000:]
        return done.stdout, tmp_path / "board.pdf"

    return run


def said(pdf):
    if not shutil.which("pdftotext"):
        pytest.skip("needs pdftotext, from Debian's poppler-utils")
    return subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout


# any text


def bare(text):
    """Without spaces, and without what OT1 fonts draw as rules and accents, which are no characters in a PDF."""
    return re.sub(r"[\s_~^˜ˆ]", "", unicodedata.normalize("NFC", text))


def test_special_characters_are_set_as_they_are(compiled):
    lines = ["100 % of A&B cost $5 {#1} ~x^2 a_b", r"C:\new\\line \input{x} \end{table}", "a < b > c | d", "a=b/c", "x--y---z"]
    text = said(compiled("\n\n".join(rf"\noindent {escape(line)}" for line in lines))[1])
    for line in lines:
        assert bare(line) in bare(text), line


def test_letters_of_the_field_and_of_names_are_set(compiled):
    lines = ["λ=0.1 αβγ ΓΘΛ ςµ", "Özgür Čapek Žižek Señor Søren Åse Weiß façade", "64.44 ± 2.50 · 3 − 2 – x — ≤ ≥ → × ∞"]
    text = said(compiled("\n\n".join(rf"\noindent {escape(line)}" for line in lines))[1])
    for line in lines:
        assert bare(line) in bare(text), (line, text)


def test_a_character_without_a_spelling_is_named():
    assert escape("模型 🙂") == "[U+6A21][U+578B] [U+1F642]"
    assert escape("a\x00b\ud800") == "a[U+0000]b[U+D800]"


def test_what_has_a_spelling_in_ascii_is_spelled():
    assert escape("ﬁve² ½") == "five2 [U+00BD]"
    assert escape("a\tb\nc") == "a b c"


def test_every_greek_letter_is_set(compiled):
    letters = [chr(code) for code in range(0x391, 0x3CA) if unicodedata.name(chr(code), "").count(" ") == 3]
    log, _ = compiled(" ".join(map(escape, letters)))
    assert "Undefined" not in log
    assert not any("U+" in escape(letter) for letter in letters)


@given(st.text(max_size=80))
def test_any_text_becomes_one_line_of_ascii_in_which_nothing_is_a_command_of_its_own(text):
    line = escape(text)
    assert line.isascii()
    assert line.isprintable()
    bare = re.sub(r"\\[%&#${}_]", "", line)  # without what is set as it is
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("%&#_~^") & set(re.sub(r"\\[\^~]\{", "", bare))


def test_a_page_of_every_accented_and_odd_character_is_set(compiled):
    letters = [
        chr(code) for code in [*range(0x20, 0x250), *range(0x1E00, 0x1F00), *range(0x2010, 0x2060), *range(0x2190, 0x2200)]
    ]
    log, _ = compiled("\n\n".join(escape(" ".join(letters[i : i + 40])) for i in range(0, len(letters), 40)))
    assert "Missing character" not in log


# tables


@pytest.fixture(autouse=True)
def only_built_ins(monkeypatch):
    monkeypatch.setenv("AVGZSL_PLUGINS", "")
    plugins.registry.cache_clear()
    yield
    plugins.registry.cache_clear()


def printed(method, seen, unseen, mean):
    names = {"key": "some_body", "table": "1", "method": method, "label": f"{method}_&", "encoder": "clip", "text": "names"}
    place = {"dataset": "ucf", "features": "selavi", "split": "main"}
    return PublishedRow(**names, **place, seen=seen, unseen=unseen, harmonic_mean=mean)


@pytest.fixture
def built(tmp_path):
    """A real key with a row that is beaten, one that is not, a floor and printed numbers; and a synthetic one."""
    runs = [decided.record(tmp_path, seed, 0.9, synthetic=False) for seed in range(4)]
    runs += [decided.record(tmp_path, seed, 0.88, method="avca", synthetic=False) for seed in range(4)]
    runs += [decided.record(tmp_path, seed, 0.2, method="ale", settings={"epochs": 6}, synthetic=False) for seed in range(4)]
    runs += [decided.record(tmp_path, 0, 0.1, method="chance", synthetic=False), decided.record(tmp_path, 0, 0.5)]
    return table.build(runs, [printed("kda", 60.0, 40.0, 55.0), printed("old", 50.0, 20.0, None)])


def test_hm_is_bold_in_the_first_tie_group_and_nowhere_else(built):
    bold = [line for line in Latex().render(built).splitlines() if "\\textbf" in line]
    first = [row for section in built.sections for row in section.rows if row.tie_group == 1]
    assert [re.search(r"\\textbf\{([\d.]+)\}", line)[1] for line in bold] == [
        f"{row.measured['harmonic_mean'].mean:.2f}" for row in first
    ]
    assert len(first) == 3
    (beaten,) = (line for line in Latex().render(built).splitlines() if " ale" in line)
    assert beaten.startswith("2 & ")


def test_every_number_of_every_row_stands_in_its_table(built):
    for section in built.sections:
        part = Latex().render(table.Table((section,)))
        for row in section.rows:
            for cell in (*row.measured.values(), *row.published.values()):
                assert cell.mean is None or f"{cell.mean:.2f}" in part


def test_the_whole_board_compiles_with_one_table_a_key_its_label_and_its_notes(built, compiled):
    body = Latex().render(built)
    assert body.count("\\begin{table}") == body.count("\\caption{") == body.count("\\label{tab:") == 2
    log, pdf = compiled(body)
    assert "too large" not in log
    assert "Overfull" not in log
    text = " ".join(said(pdf).split())
    for words in (
        "SYNTHETIC data",
        "Tie Method",
        "cannot follow from the printed S and U",
        "Published: Table 1 of some",
        "old &",
        "epochs=6",
    ):
        assert words in text, words


def test_hostile_names_compile(compiled, tmp_path):
    evil = "\\end{table}\\input{/etc/passwd} $x^2_3$ #1 ~ % & {} 模型 λ </script>"
    names = {"method": evil, "text": evil, "encoder": "\\", "settings": {evil: evil}}
    runs = [
        decided.record(tmp_path / "a", names=[evil] * 9, **names),
        decided.record(tmp_path / "b", **{**names, "settings": {}}),
    ]
    body = Latex().render(table.build(runs, ()))
    assert body.isascii()
    assert "root:" not in said(compiled(body)[1])


def test_a_long_key_is_parted_so_that_no_row_leaves_the_page(compiled, tmp_path):
    first = decided.record(tmp_path)
    runs = [
        {**first, "run_id": f"{i:016x}", "setting_id": f"{i:016x}", "settings": {**first["settings"], "epochs": i}}
        for i in range(110)
    ]
    body = Latex().render(table.build(runs, ()))
    parts = body.split("\\begin{table}")[1:]
    assert len(parts) == 5
    assert max(part.count("epochs") for part in parts) <= LINES / 2
    assert len(set(re.findall(r"\\label\{([^}]*)\}", body))) == 5
    assert "(2 of 5)" in parts[1]
    log, pdf = compiled(body)
    assert "too large" not in log
    assert all(f"epochs={i}," in said(pdf) for i in range(110))


def test_all_that_papers_print_fits_its_pages(compiled):
    log, _ = compiled(Latex().render(table.build([], published.rows())))
    assert "too large" not in log
    assert "Overfull" not in log


def test_an_empty_board_is_a_comment():
    assert all(line.startswith("%") for line in Latex().render(table.build([], ())).splitlines())
