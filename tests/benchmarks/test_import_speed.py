"""What importing a full-size synthetic UCF (main features) costs, as a whole process on its own."""

import os
import subprocess
import sys
import time

from avgzsl_bench import datasets
from avgzsl_bench.datasets._synth import write_copy

# ru_maxrss would count the memory of this process, from which the child is forked; VmHWM is the child's own
IMPORT = """
import atexit, sys
from pathlib import Path
line = "next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))"
atexit.register(lambda: print(eval(line), file=sys.stderr))
from avgzsl_bench.cli import main
main()
"""


def test_import_of_ucf_main(benchmark, capsys, tmp_path):
    source = write_copy(datasets.get("ucf").layout("main", None), tmp_path)
    command = [sys.executable, "-c", IMPORT, "data", "import", "ucf", str(source)]
    environment = os.environ | {"AVGZSL_DATA": str(tmp_path / "store")}
    start = time.perf_counter()
    done = benchmark.pedantic(subprocess.run, (command,), {"env": environment, "capture_output": True, "text": True}, rounds=1)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    megabytes = int(done.stderr.split("VmHWM:")[1].split()[0]) / 1e3
    assert megabytes < 600
    with capsys.disabled():
        print(f"\navgzsl data import of full-size synthetic UCF main: {seconds:.1f} s, {megabytes:.0f} MB at its peak")
