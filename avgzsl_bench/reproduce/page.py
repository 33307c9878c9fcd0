"""The page of a reproduction: what is measured, what is printed and their difference, in the shape of the paper."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from avgzsl_bench import plugins, published, records
from avgzsl_bench.board import audit, measured
from avgzsl_bench.board.cells import METRICS, Cell, Row
from avgzsl_bench.board.grids import Column, Line, Page
from avgzsl_bench.board.measured import Record
from avgzsl_bench.published import PublishedRow
from avgzsl_bench.reproduce import recipes, works
from avgzsl_bench.reproduce.recipes import Place, Recipe
from avgzsl_bench.reproduce.works import Asked, Work
from avgzsl_bench.text.sources import NAMES

MEASURED = (
    "In per cent, the mean over n seeds ± the half-width of its 95 % t interval; ±– marks a single run, whose spread is unknown. "
    "Epoch, seen bias and searched settings are selected on validation classes with the test set sealed; class text is joined by "
    "name. No row is ranked."
)
PRINTED = "printed: what {} prints, of single runs under the rules of their authors' code."
SYNTHETIC = "{} prints numbers of real clips, which are left out: nothing can be compared with them on synthetic data."
OURS = (
    "Class descriptions are the pack `descriptions` of this project, not the paper's own, which --text kda takes once `avgzsl "
    "text import kda PATH` has brought them."
)


@dataclass(frozen=True)
class Shape:
    """One table in the shape of the paper."""

    head: str
    printed_in: str
    metrics: tuple[str, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    title: str
    group: str = ""

    def heading(self, column: Column) -> tuple[str, ...]:
        """The lines above a column."""
        return column.title


def page(recipe: Recipe, found: Sequence[Work], asked: Asked, failures: Mapping[str, str] = MappingProxyType({})) -> Page[Shape]:
    """The page of works that were run; `failures` are the errors of run ids."""
    places = dict.fromkeys(work.place for work in found)
    columns = {place: _column(place, found) for place in places}
    real = [column for column in columns.values() if not column.synthetic]
    parts = [[work for work in found if work.line == line] for line in recipe.line]
    texts = list(dict.fromkeys(map(_text, parts)))  # one of all lines stands above them
    build = _Lines(recipe, columns, failures, audit.footnotes(published.printed()), len(texts) > 1)
    shape = Shape(
        recipe.head,
        recipe.printed_in if real else "",
        recipe.metrics,
        tuple(columns.values()),
        tuple(line for part in parts for line in build.of(part)),
        recipe.title if len(texts) > 1 else f"{recipe.title} · {texts[0]}",
    )
    return Page(
        f"avgzsl reproduce {recipe.name}",
        (shape,),
        heading=tuple(heading(recipe, found, asked)),
        caption=tuple(_caption(recipe, real, len(real) < len(columns))),
        remarks=tuple(f"{place.name}: {place.remark}" for place in places if place.remark),
    )


def heading(recipe: Recipe, found: Sequence[Work], asked: Asked) -> Iterator[str]:
    """What must be read before the numbers: what was changed, what stands in, and the remarks of the recipe."""
    if asked.settings:
        changed = ", ".join(f"{key}={value}" for key, value in asked.settings.items())
        yield f"Changed by --set, wherever a method has it: {changed}."
    for work, others in works.stand_ins(found):
        apart = "" if _synthetic(work.place, found) else ", and is not compared with what is printed"
        yield f"On {work.place.name}, {work.runs[0].encoder} stands in for {others}{apart}."
    described = any(work.line.text != NAMES for work in found)
    if asked.text and described:
        yield f"The class text {asked.text} takes the place of descriptions."
    yield from recipe.remarks
    if not all(_synthetic(work.place, found) for work in found):
        yield from recipe.of_print
        yield from [OURS] * (described and not asked.text)


def _caption(recipe: Recipe, real: Sequence[Column], synthetic: bool) -> Iterator[str]:
    yield MEASURED
    if recipe.paper and real:
        yield PRINTED.format(recipe.printed_in)
    if recipe.paper and synthetic:
        yield SYNTHETIC.format(recipe.printed_in)


def _column(place: Place, found: Sequence[Work]) -> Column:
    return Column(place.name, place.features, place.split, _synthetic(place, found))


def _synthetic(place: Place, found: Sequence[Work]) -> bool:
    return any(plan.identity["synthetic"] for work in found if work.place == place for plan in work.plans)


# lines


@dataclass(frozen=True)
class _Lines:
    """What makes lines of works."""

    recipe: Recipe
    columns: Mapping[Place, Column]
    failures: Mapping[str, str]
    faults: Mapping[tuple[PublishedRow, str], Sequence[str]]
    texts_differ: bool

    def of(self, found: Sequence[Work]) -> Iterator[Line]:
        """One line, or two where what is measured is another system than the printed one."""
        own = found[0].line
        runs = {self.columns[work.place]: complete for work in found if (complete := _records(work))}
        absent = {column: self._absent(work) for work in found if (column := self.columns[work.place]) not in runs}
        prints = {column: self._cells(row) for work in found if (row := self._printed(work, column := self.columns[work.place]))}
        rows = {column: _row(complete) for column, complete in runs.items()}
        notes = tuple(self._said(own))
        told = (*notes, *_chosen(runs))
        apart = _apart(own, [work for work in found if self.columns[work.place] in prints])
        if apart and prints:
            yield Line((own.label,), printed=prints, notes=notes, runs=False)
        subject = (apart or own.label, *[_text(found)] * self.texts_differ)
        yield Line(subject, rows, {} if apart else prints, told, absent=absent)

    def _said(self, line: recipes.Line) -> Iterator[str]:
        if line.ours:
            yield f"Not in {self.recipe.printed_in}: added here."
        if line.remark:
            yield line.remark

    def _absent(self, work: Work) -> str:
        if work.reason:
            return f"Not run: {work.reason}."
        if said := [self.failures[plan.run_id] for plan in work.plans if plan.run_id in self.failures]:
            return f"Failed: {said[0]}."
        if any(plan.done for plan in work.plans):
            return f"{work.place.name} was imported in part, and numbers of partial data reach no table."
        return "Not run yet."

    def _printed(self, work: Work, column: Column) -> PublishedRow | None:
        return None if column.synthetic else self.recipe.printed(work.line, work.place)

    def _cells(self, row: PublishedRow) -> dict[str, Cell]:
        notes = {key: tuple(self.faults.get((row, key), ())) for key in METRICS}
        return {key: Cell(getattr(row, key), source="published", notes=notes[key]) for key in METRICS}


def _apart(line: recipes.Line, beside: Sequence[Work]) -> str:
    """The label of what is measured, where it is of another system than what is printed and must not stand beside it."""
    if line.apart:
        return line.apart
    if plugins.load("methods", line.method).known_from == "abstract":
        return f"{line.label} (from the abstract)"
    return line.label if any(work.runs[0].encoder != line.encoder for work in beside) else ""


def _text(found: Sequence[Work]) -> str:
    """`clip of descriptions`: what a line is told of the classes, which can differ between data sets."""
    texts = []
    for run in (work.runs[0] for work in found):
        settings = ", ".join(f"{key}={value}" for key, value in run.encoder_settings.items())
        texts.append(f"{run.encoder}{f' ({settings})' if settings else ''} of {run.text}")
    return "; ".join(dict.fromkeys(texts))


def _records(work: Work) -> list[Record]:
    """The records that a table may hold."""
    return measured.usable([records.read(plan.record) for plan in work.plans if plan.done])[0]


def _row(found: Sequence[Record]) -> Row:
    return measured.rows(measured.groups(found), plugins.Events())[0]


def _chosen(runs: Mapping[Column, Sequence[Record]]) -> Iterator[str]:
    """What each seed chose on validation, where a setting was searched."""
    for column, found in runs.items():
        searches = [record["selection"].get("search") for record in found]
        chosen = [", ".join(f"{key}={measured.short(value)}" for key, value in one["winner"].items()) for one in searches if one]
        if chosen:
            yield f"Chosen on validation on {column.dataset}, seed by seed: {'; '.join(chosen)}."
