"""The leaderboard as one HTML page: opens from disk, asks no network, and draws itself by a plain script.

What records and plugins say stands in it as JSON in which no `<`, `>` or `&` is left, and enters the page as text nodes. The
page's policy lets nothing run or load but its own style and script, which it knows by their hashes.
"""

import base64
import hashlib
from pathlib import Path

from avgzsl_bench.board.renderers._page.content import content
from avgzsl_bench.board.table import CAPTION, Table
from avgzsl_bench.contracts import Renderer

PARTS = Path(__file__).parent / "_page"
STYLE = ("page.css",)
SCRIPT = ("plots.js", "details.js", "page.js")
START = "start();\n"


class Html(Renderer):
    """One self-contained page: a tab a key; sorting, filters and search; details of every row."""

    suffix = ".html"

    def render(self, table: Table) -> str:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup

        shell = Environment(
            loader=FileSystemLoader(PARTS), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
        )
        shell.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
        style, script = _joined(STYLE), "(() => {\n" + _joined(SCRIPT) + "start();\n})();\n"
        text = shell.get_template("page.html.j2").render(
            caption=CAPTION, data=content(table), style=Markup(style), script=Markup(script), policy=_policy(style, script)
        )
        return str(text)


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((PARTS / name).read_text(encoding="utf-8") for name in names)


def _policy(style: str, script: str) -> str:
    """Nothing but the page's own style and script, and no connection at all."""
    own = {"style-src": style, "script-src": script}
    allowed = "; ".join(f"{kind} 'sha256-{_digest(text)}'" for kind, text in own.items())
    return f"default-src 'none'; {allowed}; img-src data:; base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


MEMBER = Html
