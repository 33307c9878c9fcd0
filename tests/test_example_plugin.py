"""Plugins as strangers have them: the example distribution, what `plugin new` writes, and the README's own, installed by pip."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.testing import template

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "plugins" / "avgzsl-prototype"


def install(source: Path, site: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*command, "--no-index", "--no-build-isolation", "--target", str(site), str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def avgzsl(site: Path, *words: str, module: str = "avgzsl_bench", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "COLUMNS": "200"}
    environment.pop("AVGZSL_PLUGINS", None)
    return subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, env=environment, cwd=folder)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """A copy of the example, so that building it leaves nothing in the checkout, installed into a folder of its own."""
    site = tmp_path_factory.mktemp("site")
    copy = tmp_path_factory.mktemp("source") / EXAMPLE.name
    for file in (file for file in EXAMPLE.rglob("*") if file.suffix in (".py", ".toml", ".md")):
        (copy / file.relative_to(EXAMPLE)).parent.mkdir(parents=True, exist_ok=True)
        (copy / file.relative_to(EXAMPLE)).write_bytes(file.read_bytes())
    install(copy, site)
    return site


def test_the_example_is_short():
    lines = sum(len(file.read_text().splitlines()) for file in EXAMPLE.rglob("*.py"))
    assert 0 < lines < 80


def test_the_example_is_listed(example):
    listed = avgzsl(example, "plugin", "list")
    assert listed.returncode == 0, listed.stderr
    for word in ("prototype", "avgzsl-prototype 0.1.0", "method prototype", "loss focal", "encoder letters"):
        assert word in listed.stdout


def test_the_example_runs_with_its_own_loss_and_encoder(example, tmp_path):
    words = ["run", "--method", "prototype", "--encoder", "letters", "--dataset", "demo", "--json", "--out", str(tmp_path)]
    done = avgzsl(example, *words, "--set", "epochs=2", "--set", "loss.focus=1", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)
    assert record["identity"]["method"] == "prototype"
    assert record["identity"]["encoder"] == "letters"
    assert record["identity"]["loss_versions"] == {"focal": 1}
    assert record["settings"]["classification_loss"] == {"name": "focal", "focus": 1.0}
    assert record["metrics"]["zero_shot"] > 0.1


def test_the_example_swaps_its_loss(example, tmp_path):
    words = ["run", "--method", "prototype", "--dataset", "demo", "--dry-run", "--out", str(tmp_path)]
    assert "cross_entropy" in avgzsl(example, *words, "--set", "loss=cross_entropy").stdout
    refused = avgzsl(example, *words, "--set", "loss=triplet")
    assert refused.returncode == 2
    assert "triplet family; prototype takes classification" in refused.stderr


def test_the_example_passes_its_check(example):
    checked = avgzsl(example, "plugin", "check", "prototype")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert re.search(r"^\d\d pass, 0 fail, 4 skipped$", checked.stdout, re.M)


HELP = """
import sys
from avgzsl_bench.cli import main
sys.argv = ["avgzsl", "--help"]
try:
    main()
finally:
    heavy = [name for name in ("torch", "pydantic", "numpy", "pandas") if name in sys.modules]
    print(heavy, "avgzsl_prototype" in sys.modules)
"""


def test_help_imports_nothing_heavy_with_the_example_installed(example):
    own = {key: value for key, value in os.environ.items() if key != "AVGZSL_PLUGINS"}
    environment = {**own, "PYTHONPATH": os.pathsep.join([str(example), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[] True", done.stderr


def test_a_failing_check_exits_with_one(example, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "pyproject.toml").write_text((EXAMPLE / "pyproject.toml").read_text().replace("prototype", "broken"))
    (tmp_path / "bad" / "README.md").write_text("")
    (tmp_path / "bad" / "avgzsl_broken").mkdir()
    (tmp_path / "bad" / "avgzsl_broken" / "__init__.py").write_text("import no_such_module")
    install(tmp_path / "bad", tmp_path / "site")
    checked = avgzsl(tmp_path / "site", "plugin", "check", "broken")
    assert checked.returncode == 1
    assert "No module named 'no_such_module'" in checked.stdout
    assert "0 pass, 1 fail, 0 skipped" in checked.stdout
    listed = avgzsl(tmp_path / "site", "plugin", "list")
    assert listed.returncode == 0
    assert "No module named 'no_such_module'" in listed.stdout


def test_an_unknown_name_is_one_line_and_exits_with_two(tmp_path):
    checked = avgzsl(tmp_path, "plugin", "check", "ezszl")
    assert checked.returncode == 2
    assert checked.stderr == "error: unknown plugin or member 'ezszl'; did you mean eszsl? `avgzsl list` lists them\n"


# a new plugin


def test_a_new_plugin_passes_its_check_and_its_own_test(tmp_path):
    made = avgzsl(tmp_path, "plugin", "new", "two_words", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "avgzsl-two-words"
    install(folder, tmp_path / "site")
    checked = avgzsl(tmp_path / "site", "plugin", "check", "two_words")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "17 pass, 0 fail, 4 skipped" in checked.stdout
    tested = avgzsl(tmp_path / "site", "-q", "-p", "no:cacheprovider", module="pytest", folder=folder)
    assert tested.returncode == 0, tested.stdout
    assert "17 passed, 4 skipped" in tested.stdout


@pytest.mark.parametrize("name", ["Nearest", "my-map", "1st", "", "a b", "../up", "größe"])
def test_a_name_that_cannot_be_one_is_refused(tmp_path, name):
    with pytest.raises(AvgzslError, match="use lower-case letters, digits and _"):
        template.write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_or_method_that_exists_is_refused(tmp_path):
    (tmp_path / "avgzsl-mine").mkdir()
    with pytest.raises(AvgzslError, match="is there already"):
        template.write("mine", tmp_path)
    with pytest.raises(AvgzslError, match=r"there is a method 'eszsl' already \(built-in\)"):
        template.write("eszsl", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["avgzsl-mine"]
    assert not list((tmp_path / "avgzsl-mine").iterdir())


# the pytest plugin


def test_the_marker_gives_one_test_a_check_and_skips_with_the_reason(tmp_path):
    marked = '@pytest.mark.avgzsl("eszsl", kind="methods")\ndef test_it(avgzsl_check):\n    avgzsl_check()\n'
    (tmp_path / "test_it.py").write_text(f"import pytest\n\n{marked}")
    tested = avgzsl(tmp_path, "-q", "-rs", "--strict-markers", "-p", "no:cacheprovider", module="pytest", folder=tmp_path)
    assert tested.returncode == 0, tested.stdout
    assert "12 passed, 8 skipped" in tested.stdout
    assert "trains nothing: turns is ()" in tested.stdout


def test_a_test_without_the_marker_is_told_so(tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(avgzsl_check):\n    avgzsl_check()\n")
    tested = avgzsl(tmp_path, "-q", "-p", "no:cacheprovider", module="pytest", folder=tmp_path)
    assert tested.returncode != 0
    assert "mark it @pytest.mark.avgzsl(NAME)" in tested.stdout + tested.stderr


# the README's plugin


def blocks(text: str) -> dict[str, str]:
    """Fenced blocks whose info string carries a file name, by that name."""
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, re.M | re.S))


def test_a_plugin_written_from_the_readme_alone_passes(tmp_path):
    files = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    python = [text for name, text in files.items() if name.endswith(".py")]
    assert "pyproject.toml" in files
    assert 0 < sum(len(text.splitlines()) for text in python) <= 60
    for name, text in files.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(text, encoding="utf-8")
    install(tmp_path / "source", tmp_path / "site")
    (plugin,) = re.findall(r"^\[project.entry-points.avgzsl_bench\]\n(\w+) =", files["pyproject.toml"], re.M)
    checked = avgzsl(tmp_path / "site", "plugin", "check", plugin)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "17 pass, 0 fail, 4 skipped" in checked.stdout
