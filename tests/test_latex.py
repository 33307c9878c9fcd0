"""The leaderboard as LaTeX: any text is set by a bare installation of TeX, and the tables say what the others say."""

import re
import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avgzsl_bench.board.renderers._tex import escape

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
