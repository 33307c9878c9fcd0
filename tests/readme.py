"""Keep the README true: print its commands, check or rewrite the output it shows.

python tests/readme.py command run|test     print one of the two commands
python tests/readme.py check                fail when shown output is not what the command prints
python tests/readme.py write                rewrite shown output
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
COMMAND = re.compile(r"<!-- command: (?P<name>\w+) -->\n+```bash\n(?P<body>.*?)\n```", re.DOTALL)
SHOWN = re.compile(r"(?P<head><!-- output of: (?P<command>[^\n]+) -->\n\n)(?P<body>.*?)(?P<tail>\n\n<!-- end -->)", re.DOTALL)
MEASURED = re.compile(r"≤ \de-\d+")  # a difference of the parity tables: another processor rounds otherwise


def commands() -> dict[str, str]:
    """The commands a reader is told to type, by name."""
    return {match["name"]: match["body"] for match in COMMAND.finditer(README.read_text(encoding="utf-8"))}


def shown(text: str) -> str:
    """The README with the output of every shown command as it is now."""
    return SHOWN.sub(lambda match: match["head"] + _output(match["command"]) + match["tail"], text)


def steady(text: str) -> str:
    """The text without what differs from one processor to the next; tests hold those numbers to their limits."""
    return MEASURED.sub("≤ …", text)


@cache
def _output(command: str) -> str:
    program, *arguments = shlex.split(command)
    module = {"avgzsl": ["-m", "avgzsl_bench"], "python": []}[program]
    with tempfile.TemporaryDirectory() as home:
        # nothing of this machine shows: no plugins, no data, no terminal
        own = {
            "AVGZSL_PLUGINS": "",
            "AVGZSL_DATA": f"{home}/data",
            "AVGZSL_CACHE": f"{home}/cache",
            "COLUMNS": "100",
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [sys.executable, *module, *arguments],
            cwd=ROOT,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=True,
        )
    lines = "\n".join(line.rstrip() for line in done.stdout.strip("\n").splitlines())
    return lines if "markdown" in command or program == "python" else f"```text\n{lines}\n```"


def main() -> None:
    """Do what the first argument says."""
    verb, *rest = sys.argv[1:]
    text = README.read_text(encoding="utf-8")
    if verb == "command":
        print(commands()[rest[0]])
    elif verb == "write":
        README.write_text(shown(text), encoding="utf-8")
    elif steady(shown(text)) != steady(text):
        sys.exit("README.md shows output that is not what its commands print: run `python tests/readme.py write`")


if __name__ == "__main__":
    main()
