"""What pictures share: widths and type of a paper, colours that the colour-blind tell apart, files that repeat to the byte."""

import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTHS = {"column": 3.3, "page": 6.9}  # inches
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)  # Okabe and Ito's but the yellow, too light
LIGHT = COLOURS[3:6]  # on which letters are black
MARKERS = "o^DvPX<>ph*8"  # none is a square, which stands for class text
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
GREY = "#666666"
PART = " · "  # between the parts of what a picture is about
SMALL = 6.0  # points, of names that stand many together
LETTER = 0.55  # width of a letter in its height, about

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # the one that comes with Matplotlib, so that every machine draws the same
    "font.size": 7.0,
    "axes.titlesize": 7.0,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "figure.titlesize": 7.0,
    "figure.labelsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "text.parse_math": False,  # a class may be called a$b$
    "axes.unicode_minus": False,
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "avgzsl-bench",
}
_UNDATED: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def check(outs: Sequence[Path], width: str) -> None:
    """Refuse what cannot be drawn before anything is computed.

    Raises AvgzslError for an unknown format or width, and where Matplotlib is not installed.
    """
    if width not in WIDTHS:
        raise AvgzslError(f"--width {width!r} is not known; choose {' or '.join(WIDTHS)}")
    for out in outs:
        if out.suffix.lower().removeprefix(".") not in _UNDATED:
            raise AvgzslError(
                f"{out}: pictures are drawn as {', '.join(f'.{known}' for known in _UNDATED)}; end it in one of them"
            )
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing("matplotlib") from error


def missing(library: str) -> AvgzslError:
    """The one line for a library of the extra that is not there."""
    return AvgzslError(f"{library} is not installed; `pip install 'avgzsl-bench[plots]'` brings it")


def figure(width: str, height: float, about: str) -> "Figure":
    """An empty picture, `height` in inches, that says above what it is about."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(WIDTHS[width], height), layout="constrained")
    made.suptitle(_lines(about, letters(width)), color=GREY)
    return made


def _lines(about: str, letters: int) -> str:
    """What a picture is about, broken between its parts."""
    lines: list[str] = []
    for part in about.split(PART):
        joined = f"{lines[-1]}{PART}{part}" if lines else part
        lines[-1:] = [joined] if len(joined) <= letters else [*lines[-1:], part]
    return "\n".join(lines)


def letters(width: str, columns: int = 1, size: float = 7.0) -> int:
    """How many letters stand side by side in a column of a picture, about; `size` in points."""
    return int(WIDTHS[width] * 72 / (size * LETTER) / columns)


def inches(letters: int, size: float = SMALL) -> float:
    """How long so many letters are, about."""
    return letters * size * LETTER / 72


def wrapped(text: str, letters: int) -> str:
    """A text in lines of at most so many letters."""
    return "\n".join(textwrap.wrap(text, letters))


def write(make: "Callable[[], Figure]", outs: Sequence[Path]) -> list[Path]:
    """Draw a picture into every file: PNG at 300 dots an inch, PDF and SVG to scale. Equal pictures are equal bytes.

    Raises AvgzslError for a file that cannot be written.
    """
    from matplotlib import style

    with style.context(["default", _STYLE]):  # whatever the user has set for pictures of their own
        drawn = make()
        for out in outs:
            kind, file = out.suffix.lower().removeprefix("."), io.BytesIO()
            drawn.savefig(file, format=kind, dpi=300, metadata=_UNDATED[kind])
            write_whole(out, file.getvalue())
    return list(outs)


def shortened(names: Sequence[str], letters: int) -> list[str]:
    """Names in at most so many letters, their middle left out; those that would then read alike stay whole."""
    cut = [_cut(name, letters) for name in names]
    return [name if cut.count(short) > 1 else short for name, short in zip(names, cut, strict=True)]


def _cut(name: str, letters: int) -> str:
    tail = letters // 3
    return name if len(name) <= letters else f"{name[: letters - tail - 1]}…{name[-tail:]}"


def look(place: int) -> dict[str, Any]:
    """Colour, marker and line of the n-th thing in a picture: two things never differ in colour alone."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": LINES[place % len(LINES)],
    }
