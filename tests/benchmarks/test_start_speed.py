"""What `avgzsl --help` and a demo run cost, the first as a ratio to importing its libraries alone."""

import subprocess
import sys
import time
from statistics import median

import pytest

HELP = [sys.executable, "-m", "avgzsl_bench", "--help"]
LIBRARIES = [sys.executable, "-c", "import typer, rich, pluggy"]


def seconds(command: list[str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def test_help_against_its_libraries(benchmark, capsys):
    seconds(HELP), seconds(LIBRARIES)
    pairs = [(seconds(HELP), seconds(LIBRARIES)) for _ in range(9)]
    ratio = median(ours / theirs for ours, theirs in pairs)
    benchmark.extra_info["ratio"] = ratio
    benchmark.pedantic(seconds, args=(HELP,), rounds=1)
    with capsys.disabled():
        print(f"\navgzsl --help: {median(ours for ours, _ in pairs):.2f} s, {ratio:.2f} times `import typer, rich, pluggy`")


@pytest.mark.parametrize("method", ["eszsl", "kda"])
def test_demo_run(benchmark, capsys, method, tmp_path):
    command = [sys.executable, "-m", "avgzsl_bench", "run", "-m", method, "-d", "demo", "--out", str(tmp_path)]
    took = benchmark.pedantic(seconds, args=(command,), rounds=1)
    with capsys.disabled():
        print(f"\navgzsl run --method {method} --dataset demo, both stages, one seed, whole process: {took:.1f} s")
