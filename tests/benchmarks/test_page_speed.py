"""What the HTML page of 3,000 made-up records of VGGSound size costs in Chromium: to open, and to sort its largest key."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from avgzsl_bench.board import table
from avgzsl_bench.board.cells import METRICS, UNITS, Interval, Row
from avgzsl_bench.board.renderers.html import Html

SEEN, UNSEEN = 207, 69
OPEN, SORT = 2.0, 0.1  # seconds wanted
TIMES = 15

WATCH = """
new MutationObserver((_, watch) => {
  if (!document.querySelector("tr.row")) return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.shownAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
CLICK = """
const [column, done] = arguments;
const body = document.querySelector("#table tbody");
const start = performance.now();
new MutationObserver((_, watch) => {
  watch.disconnect();
  document.body.getBoundingClientRect();  // the new order is laid out
  done(performance.now() - start);
}).observe(body, { childList: true });
document.querySelector(`th.${column} button`).click();
"""


def record(rng: np.random.Generator, key: int, setting: int, seed: int) -> dict[str, Any]:
    """One made-up run; nothing of it was measured."""
    clips = 30 + np.arange(SEEN + UNSEEN) % 21
    unseen = np.arange(len(clips)) >= SEEN
    correct = rng.binomial(clips, 0.4)
    identity = {
        "rules": "corrected", "dataset": "vggsound", "features": "selavi", "split": "main", "synthetic": True, "method": "kda",
        "form": "paper", "encoder": f"encoder{key}", "encoder_revision": "r", "text": "names@1", "seed": seed,
        "features_sha256": "f" * 64, "text_sha256": "0" * 64, "dataset_revision": "1", "method_version": 1,
    }  # fmt: skip
    numbers = {metric: float(rng.uniform(0.05, 0.6)) for metric in (*METRICS, "ausuc", "oracle_harmonic_mean")}
    ids = [hashlib.sha256(f"{key} {setting} {number}".encode()).hexdigest()[:16] for number in (seed, "")]
    return {
        "run_id": ids[0], "setting_id": ids[1], "status": "complete", "source": "measured", "recipe": "default",
        "created": "2026-01-01T00:00:00+00:00", "identity": identity, "settings": {"epochs": setting, "width": 512},
        "selection": {"split": "validation", "criterion": "harmonic_mean", "epoch": 9, "seen_bias": 0.25, "value": 0.3},
        "metrics": numbers,
        "per_class": {
            "name": [f"the sound of class {i}" for i in range(len(clips))],
            "unseen": unseen.tolist(), "clips": clips.tolist(),
            "correct": correct.tolist(), "correct_zero_shot": (correct * unseen).tolist(),
        },
        "cost": {"train_seconds": 100.5, "evaluate_seconds": 1.5, "parameters": 10**6, "peak_host_bytes": 10**9},
        "environment": {"threads": int(rng.integers(1, 9)), "packages": {f"package{i}": "1.2.3" for i in range(9)}},
        "decisions": {"path": "decisions.safetensors", "sha256": ids[0] * 4},
    }  # fmt: skip


def sure(row: Row) -> Row:
    """With intervals, which follow from decisions that these runs do not have."""
    ends = {metric: Interval((cell.mean or 0) - 3, (cell.mean or 0) + 4) for metric, cell in row.measured.items()}
    return replace(row, intervals=dict.fromkeys(UNITS, ends))


def write_page(folder: Path, keys: int, settings: int, seeds: int) -> Path:
    """The page of so many settings a key."""
    rng = np.random.default_rng(0)
    runs = [record(rng, key, i, seed) for key in range(keys) for i in range(settings) for seed in range(seeds)]
    built = table.build(runs, ())
    sections = tuple(replace(section, rows=tuple(map(sure, section.rows))) for section in built.sections)
    path = folder / "index.html"
    path.write_text(Html().render(replace(built, sections=sections)), encoding="utf-8")
    return path


@pytest.fixture
def chromium(tmp_path):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for word in ("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{word}")
    options.add_argument(f"--user-data-dir={tmp_path / 'chromium'}")
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
    yield driver
    driver.quit()


def opened(driver: Any, address: str) -> float:
    """Seconds from the start of the navigation to a painted table."""
    driver.get("about:blank")
    driver.get(address)
    wait = "const done = arguments[0], ask = () => (window.shownAt ? done(window.shownAt) : setTimeout(ask, 5)); ask()"
    return float(driver.execute_async_script(wait)) / 1000


@pytest.mark.parametrize(("keys", "settings"), [(20, 30), (1, 600)])
def test_three_thousand_records(benchmark, chromium, capsys, tmp_path, keys, settings):
    path = write_page(tmp_path, keys, settings, seeds=5)
    opening = [opened(chromium, path.as_uri()) for _ in range(TIMES)]
    columns = ["measured_unseen", "measured_seen", "method"] * (TIMES // 3)
    sorting = [chromium.execute_async_script(CLICK, column) / 1000 for column in columns]
    benchmark.pedantic(opened, (chromium, path.as_uri()), rounds=1)
    with capsys.disabled():
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        print(f"\n3,000 records, {settings} rows in each of {keys} keys, {size}: opened in {median(opening):.2f} s,")
        print(f"the largest key sorted in {1000 * median(sorting):.0f} ms (medians of {TIMES})")
    assert median(opening) < OPEN
    assert median(sorting) < SORT
