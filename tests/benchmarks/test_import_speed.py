"""What importing the full-size synthetic UCF main costs, in a process of its own."""

import os
import subprocess
import sys
import time

from avgzsl_bench import datasets
from avgzsl_bench.datasets._synth import write_copy


def test_import_of_ucf_main_stays_under_ten_seconds_and_600_megabytes(tmp_path):
    source = write_copy(datasets.get("ucf").layout("main", None), tmp_path)
    command = [sys.executable, "-m", "avgzsl_bench", "data", "import", "ucf", str(source)]
    start = time.perf_counter()
    child = subprocess.Popen(command, env=os.environ | {"AVGZSL_DATA": str(tmp_path / "store")}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds, peak = time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    child.returncode = os.waitstatus_to_exitcode(status)
    print(f"import: {seconds:.1f} s, {peak / 1e6:.0f} MB")
    assert child.returncode == 0
    assert seconds < 10
    assert peak < 600e6
