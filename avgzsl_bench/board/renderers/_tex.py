"""Any text as plain-ASCII LaTeX that every engine and font encoding sets: special characters escaped, others named or spelled."""

import re
import unicodedata

BREAK = "\u2060"  # the word joiner, which is not seen: between two hyphens, which would become a dash
SPECIAL = {
    **{character: f"\\{character}" for character in "%&#${}"},
    "_": "\\_\\allowbreak{}",  # names of settings are long
    "/": "/\\allowbreak{}",
    "=": "=\\allowbreak{}",
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "''",
    "`": "\\textasciigrave{}",
    BREAK: "{}",
    "\u00a0": "~",
    "\u202f": "\\,",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": "$\\pm$",
    "·": "$\\cdot$",
    "×": "$\\times$",
    "≤": "$\\le$",
    "≥": "$\\ge$",
    "≈": "$\\approx$",
    "≠": "$\\ne$",
    "→": "$\\to$",
    "√": "$\\surd$",
    "∞": "$\\infty$",
    "…": "\\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "§": "\\S{}",
    "†": "\\dag{}",
    "ß": "\\ss{}",
    "æ": "\\ae{}",
    "Æ": "\\AE{}",
    "ø": "\\o{}",
    "Ø": "\\O{}",
    "œ": "\\oe{}",
    "Œ": "\\OE{}",
    "ł": "\\l{}",
    "Ł": "\\L{}",
    "ς": "$\\varsigma$",
    "µ": "$\\mu$",
}
ACCENTS = dict(
    zip("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0327\u0331", "`'^~=u.\"rHvdcb", strict=True)
)
LOOK_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))  # Greek letters that have no command


def escape(text: str) -> str:
    """The text on one line; a character that has no spelling here stands as [U+4E2D]."""
    line = re.sub("-(?=-)", f"-{BREAK}", unicodedata.normalize("NFC", " ".join(text.split())))
    return "".join(_spelled(character) for character in line)


def _spelled(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii() and character.isprintable():
        return character
    return _greek(character) or _accented(character) or f"[U+{ord(character):04X}]"


def _greek(character: str) -> str:
    """`$\\lambda$`, `$\\Lambda$`."""
    if character in LOOK_LATIN:
        return f"$\\mathrm{{{LOOK_LATIN[character]}}}$"
    kind, _, letter = unicodedata.name(character, "").rpartition(" LETTER ")
    if kind not in ("GREEK SMALL", "GREEK CAPITAL") or " " in letter:
        return ""
    command = letter.replace("LAMDA", "LAMBDA")
    return f"$\\{command.lower() if kind.endswith('SMALL') else command.capitalize()}$"


def _accented(character: str) -> str:
    """A letter and its accent, or what stands for the character in ASCII."""
    base, *marks = list(unicodedata.normalize("NFKD", character))
    if base.isalpha() and base.isascii() and len(marks) == 1 and marks[0] in ACCENTS:
        return f"\\{ACCENTS[marks[0]]}{{{base}}}"
    plain = unicodedata.normalize("NFKD", character)
    return "".join(SPECIAL.get(one, one) for one in plain) if plain.isascii() and plain.isprintable() else ""
