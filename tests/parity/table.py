"""Print the README's parity tables: run every golden comparison and measure how far each method is from its reference.

python tests/parity/table.py
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from golden_file import Exempt, Golden, Kind

AVCA, TCAF, KDA = "AVCA-GZSL 2711aeb", "TCAF-GZSL d2b397a", "KDA 05157a5"  # repository and commit
REFERENCES = {"kda": KDA, "tcaf": TCAF}  # of the others: AVCA
LABELS = {"eval": "scorer (`--rules reference`)"}
RESOLUTION = 1e-7  # below it float32 has nothing to say


def names() -> list[str]:
    """Every golden file that is compared with."""
    return sorted(path.stem[len("test_") : -len("_golden")] for path in Path(__file__).parent.glob("test_*_golden.py"))


def module(name: str) -> Any:
    """What compares with a golden file."""
    return import_module(f"test_{name}_golden")


@cache
def compared(name: str) -> Golden:
    """The golden file after all its comparisons; AssertionError where one fails."""
    golden: Golden = module(name).compare()
    return golden


def bound(differences: Iterable[float]) -> str:
    """The largest difference, rounded up to one digit, such as `≤ 3e-6`."""
    largest = max(differences, default=None)
    if largest is None:
        return "–"
    largest = max(largest, RESOLUTION)
    power = math.floor(math.log10(largest))
    digit = math.ceil(round(largest / 10.0**power, 6))
    return f"≤ {digit}e{power}" if digit < 10 else f"≤ 1e{power + 1}"


def held(golden: Golden, kind: Kind) -> list[float]:
    """The differences that are held to the limit of their kind."""
    return [one.difference for one in golden.measured.values() if one.kind == kind and one.exempt is None]


def row(name: str) -> list[str]:
    """One line of the first table."""
    golden = compared(name)
    counts = (len(golden.measured), len(golden.used - golden.measured.keys()), len(golden.left_out), len(golden.arrays))
    kinds: tuple[Kind, ...] = ("output", "loss", "gradient")
    exempt = sum(one.exempt is not None for one in golden.measured.values())
    differences = [bound(held(golden, kind)) for kind in kinds]
    return [LABELS.get(name, name), REFERENCES.get(name, AVCA), *map(str, counts), *differences, str(exempt or "–")]


def terms(name: str) -> list[str]:
    """The line of the second table: every loss term by its name in the golden file."""
    by_term = defaultdict(list)
    for key, one in compared(name).measured.items():
        if one.kind == "loss" and one.exempt is None:
            by_term[key.rpartition("/")[2].removeprefix("term_")].append(one.difference)
    return [LABELS.get(name, name), ", ".join(f"{term} {bound(found)}" for term, found in by_term.items())]


def reasons() -> list[list[str]]:
    """The lines of the third table: what has a limit of its own, and what is not compared."""
    found = []
    for name in names():
        golden = compared(name)
        exempt = Counter(one.exempt for one in golden.measured.values() if one.exempt)
        found += [[LABELS.get(name, name), str(count), _limit(one), one.reason] for one, count in exempt.items()]
        left_out = Counter(golden.left_out.values())
        found += [[LABELS.get(name, name), str(count), "left out", reason] for reason, count in left_out.items()]
    return found


def _limit(exempt: Exempt) -> str:
    said = f"absolute {exempt.atol:g}" if exempt.atol else f"relative {exempt.rtol:g}"
    return said.replace("e-0", "e-")


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def main() -> None:
    """Print the three tables."""
    head = ["method", "reference", "compared", "inputs", "left out", "in file", "outputs", "losses", "gradient norms", "exempt"]
    print(markdown(head, [row(name) for name in names()]))
    print("\nEach term of the losses:\n")
    print(markdown(["method", "terms"], [terms(name) for name in names() if held(compared(name), "loss")]))
    print("\nWhat is exempt from these limits or left out:\n")
    print(markdown(["method", "arrays", "limit", "reason"], reasons()))


if __name__ == "__main__":
    main()
