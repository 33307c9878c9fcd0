"""The leaderboard as JSON: caption, remarks, and one object a row."""

import json

from avgzsl_bench.board.table import CAPTION, Table
from avgzsl_bench.contracts import Renderer


class Json(Renderer):
    """Rows as flat objects, per cent unrounded; null is not measured, or not printed."""

    suffix = ".json"

    def render(self, table: Table) -> str:
        content = {"caption": CAPTION, "remarks": table.remarks, "rows": table.records()}
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


MEMBER = Json
