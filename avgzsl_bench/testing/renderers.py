"""Questions to a renderer, asked with the published numbers and one run on synthetic data."""

from collections.abc import Callable
from functools import cache, partial
from tempfile import TemporaryDirectory

from avgzsl_bench import plugins, published, runner
from avgzsl_bench.board.table import Table, build
from avgzsl_bench.contracts import Renderer


def subjects(name: str) -> dict[str, Callable[[], Renderer]]:
    """The renderer by its name."""
    return {name: partial(_subject, name)}


def _subject(name: str) -> Renderer:
    renderer: Renderer = plugins.load("renderers", name)()
    return renderer


@cache
def _table() -> Table:
    with TemporaryDirectory() as folder:
        return build(runner.run("eszsl", out=folder, device="cpu"), published.rows())


def names_its_suffix(renderer: Renderer) -> None:
    """`--out FILE` finds a renderer by the suffix."""
    assert isinstance(getattr(renderer, "suffix", None), str), "suffix is missing"
    assert renderer.suffix.startswith("."), f"suffix is {renderer.suffix!r}; it starts with a dot"


def shows_every_row(renderer: Renderer) -> None:
    """Every data set, and every method by its name or its label, is in the text."""
    shown = renderer.render(_table()).lower()
    places = [section.place.dataset for section in _table().sections]
    rows = [row for section in _table().sections for row in section.rows]
    lost = [place for place in places if place.lower() not in shown]
    lost += [row.method for row in rows if not (row.method.lower() in shown or row.name.lower() in shown)]
    assert not lost, f"the text lacks {', '.join(lost[:5])}"


def says_that_data_are_synthetic(renderer: Renderer) -> None:
    """A number of synthetic data must never look like a result."""
    assert "synthetic" in renderer.render(_table()).lower(), "nothing says that the data are synthetic"


def renders_the_same_twice(renderer: Renderer) -> None:
    """A generated file changes only when its numbers do."""
    assert renderer.render(_table()) == renderer.render(_table()), "two calls give two texts"


def renders_an_empty_table(renderer: Renderer) -> None:
    """Nothing to show is not an error."""
    assert isinstance(renderer.render(Table(())), str), "an empty table is not rendered as text"


QUESTIONS: tuple[Callable[[Renderer], None], ...] = (
    names_its_suffix,
    shows_every_row,
    says_that_data_are_synthetic,
    renders_the_same_twice,
    renders_an_empty_table,
)
