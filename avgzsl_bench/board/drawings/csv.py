"""Grids as CSV: one line a system and data set, footnotes in a column."""

from typing import Any

import pandas as pd

from avgzsl_bench.board.grids import Page


def draw(page: Page[Any]) -> str:
    """Per cent unrounded; an empty field is not measured, or not printed."""
    frame = pd.DataFrame(page.records())
    if "n" in frame:
        frame["n"] = frame["n"].astype("Int64")
    return frame.to_csv(index=False, lineterminator="\n")
