"""The README's commands are those of continuous integration, and what it shows is what the commands print."""

import pytest
import readme


def test_shown_output_is_true():
    text = readme.README.read_text(encoding="utf-8")
    assert len(readme.SHOWN.findall(text)) >= 2
    assert readme.steady(readme.shown(text)) == readme.steady(text), "run `python tests/readme.py write`"


def test_a_lie_is_noticed():
    text = readme.README.read_text(encoding="utf-8").replace("eszsl", "eszzl")
    assert readme.steady(readme.shown(text)) != readme.steady(text)


def test_only_measured_differences_may_be_others():
    line = "| avca | AVCA-GZSL 2711aeb | 268 | 105 | 0 | 373 | ≤ 8e-7 |"
    assert readme.steady(line) == readme.steady(line.replace("8e-7", "1e-6"))
    assert readme.steady(line) != readme.steady(line.replace("268", "267"))


@pytest.mark.parametrize("name", ["run", "test"])
def test_both_commands_set_themselves_up(name):
    command = readme.commands()[name]
    assert "venv" in command
    assert "pip install" in command


def test_continuous_integration_runs_the_test_command():
    script = (readme.ROOT / ".ci" / "run").read_text()
    assert "readme.py command test" in script
