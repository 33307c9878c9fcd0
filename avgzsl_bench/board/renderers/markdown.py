"""The leaderboard as GitHub Markdown: `leaderboards/README.md` is made by it."""

from collections.abc import Iterator

from tabulate import tabulate

from avgzsl_bench.board.cells import DASH, METRICS, UNITS, Cell, Row
from avgzsl_bench.board.table import CAPTION, RULES, UNMEASURED, Section, Table
from avgzsl_bench.contracts import Renderer

HEADERS = ("tie group", "method", "changed", "recipe", "source", "n", *METRICS.values())
SURE = ("S unshared", *(f"HM over {unit}" for unit in UNITS), "behind the best")
PUBLISHED = (*(f"{name} (published)" for name in METRICS.values()), "HM − published")
TEXTS = 5  # of the first columns, that are words


class Markdown(Renderer):
    """A page: one table a section under a heading a rules value, footnotes at the end."""

    suffix = ".md"

    def render(self, table: Table) -> str:
        return "\n\n".join(_page(table)) + "\n"


def _page(table: Table) -> Iterator[str]:
    yield "# Leaderboard"
    yield "Made by `avgzsl leaderboard` from records: change those, not this page."
    yield "\n".join(f"- {line}" for line in CAPTION)
    rules = ""
    for section in table.sections:
        if section.place.rules != rules:
            rules = section.place.rules
            yield f"## Rules: {rules}" if rules != UNMEASURED else "## Published only"
            about = RULES.get(rules, "rules of another version")
            yield f"{about[:1].upper()}{about[1:]}."
        yield f"### {_escape(section.title)}"
        if section.printed_in:
            yield f"Published numbers: {_escape(section.printed_in)}."
        yield _rows(section, table)
        if section.remarks:
            yield "\n".join(f"- {_escape(remark)}" for remark in section.remarks)
    notes = [f"{number}. {_escape(note)}" for number, note in enumerate(table.notes, 1)]
    remarks = [f"- {_escape(remark)}" for remark in table.remarks]
    yield from ("\n".join(lines) for lines in (["## Notes"], notes, remarks) if notes or remarks if lines)


def _rows(section: Section, table: Table) -> str:
    """Columns that say nothing in any row of the section are left out."""
    headers = (*HEADERS, *SURE, *PUBLISHED)
    lines = [_line(row, table) for row in section.rows]
    kept = [i for i in range(len(headers)) if any(line[i] not in ("", DASH) for line in lines)]
    align = ["left" if 0 < i < TEXTS else "right" for i in kept]
    body = [[line[i] for i in kept] for line in lines]
    return str(tabulate(body, [headers[i] for i in kept], "github", colalign=align, disable_numparse=True))


def _line(row: Row, table: Table) -> list[str]:
    texts = (row.name, ", ".join(row.changed), row.recipe, row.source)
    escaped = [_escape(text) for text in texts]
    escaped[0] += _mark(row.notes, table)
    measured = [_number(cell, table) for cell in row.measured.values()]
    printed = [_number(cell, table) for cell in row.published.values()]
    against = row.against.get("harmonic_mean")
    sure = (row.unshared if row.unshared.mean is not None else "", *(row.over(unit) or "" for unit in UNITS), row.versus or "")
    return [
        str(row.tie_group or DASH),
        *escaped,
        str(row.n or DASH),
        *measured,
        *(_escape(str(one)) for one in sure),
        *printed,
        str(against or ""),
    ]


def _number(cell: Cell, table: Table) -> str:
    return f"{cell}{_mark(cell.notes, table)}"


def _mark(notes: tuple[str, ...], table: Table) -> str:
    return "".join(f"<sup>{number}</sup>" for number in table.numbers(notes))


def _escape(text: str) -> str:
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text


MEMBER = Markdown
