"""Grids as JSON: what must be read with them, and one object a system and data set."""

import json
from typing import Any

from avgzsl_bench.board.grids import Page


def draw(page: Page[Any]) -> str:
    """Per cent unrounded; null is not measured, or not printed."""
    words = {"title": page.title, "heading": page.heading, "caption": page.words, "remarks": page.remarks}
    return json.dumps({**words, "rows": page.records()}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
