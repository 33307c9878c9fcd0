"""The leaderboard as CSV: one line a row, footnotes in a column."""

import pandas as pd

from avgzsl_bench.board.table import Table
from avgzsl_bench.contracts import Renderer


class Csv(Renderer):
    """One line a row, per cent unrounded; an empty field is not measured, or not printed."""

    suffix = ".csv"

    def render(self, table: Table) -> str:
        frame = pd.DataFrame(table.records())
        if "tie_group" in frame:
            frame["tie_group"] = frame["tie_group"].astype("Int64")
        return frame.to_csv(index=False, lineterminator="\n")


MEMBER = Csv
