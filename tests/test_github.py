"""What stands under .github: it parses, asks for no rights, names commands that exist, and checks the records that changed."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from avgzsl_bench import cli

ROOT = Path(__file__).resolve().parents[1] / ".github"
FILES = sorted(path for path in ROOT.rglob("*") if path.is_file())
FORMS = sorted(path for path in (ROOT / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
WORKFLOW = ROOT / "workflows" / "checks.yml"
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="needs a checkout: a source distribution has no .github")
TYPES = {"markdown", "input", "textarea", "dropdown", "checkboxes"}


def parsed(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(job: str) -> list[dict]:
    return parsed(WORKFLOW)["jobs"][job]["steps"]


def test_all_of_it_is_here():
    assert {path.name for path in FORMS} == {"record.yml", "bug.yml", "published.yml"}
    assert [path.name for path in (ROOT / "workflows").iterdir()] == [WORKFLOW.name]
    assert (ROOT / "pull_request_template.md").is_file()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_forms_are_what_github_takes(path):
    form = parsed(path)
    assert set(form) <= {"name", "description", "title", "labels", "body"}
    assert form["name"]
    assert form["description"]
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in form["body"]} <= TYPES
    assert len({part["id"] for part in asked}) == len(asked) > 1
    assert all(part["attributes"]["label"] for part in asked)
    assert all(part["attributes"]["value"] for part in form["body"] if part["type"] == "markdown")


def test_the_workflow_may_only_read():
    text, flow = WORKFLOW.read_text(), parsed(WORKFLOW)
    assert flow["permissions"] == {"contents": "read"}
    assert set(flow[True]) == {"pull_request", "push"}, "YAML reads `on` as true"
    assert "secrets" not in text
    assert "pull_request_target" not in text
    assert all("permissions" not in job for job in flow["jobs"].values())
    checkouts = [step for job in flow["jobs"] for step in steps(job) if step.get("uses", "").startswith("actions/checkout")]
    assert len(checkouts) == len(flow["jobs"])
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    scripts = [step["run"] for job in flow["jobs"] for step in steps(job) if "run" in step]
    assert not any("${{" in script for script in scripts), "what a stranger named would be run"


def test_the_workflow_runs_the_checks_of_the_project():
    assert ".ci/run" in [step.get("run") for step in steps("project")]
    assert os.access(ROOT.parent / ".ci" / "run", os.X_OK)
    assert any("avgzsl leaderboard --check" in step.get("run", "") for step in steps("records"))


def named() -> list[list[str]]:
    """Every command of ours in these files, as words."""
    found = [match for path in FILES for match in re.findall(r"\bavgzsl((?: [\w./-]+)+)", path.read_text(encoding="utf-8"))]
    return [match.split() for match in found]


def test_commands_that_are_named_exist():
    commands = named()
    assert {("submit", "check"), ("submit", "add"), ("leaderboard", "--check"), ("doctor", "--markdown")} <= {
        tuple(words[:2]) for words in commands
    }
    for words in commands:
        command, rest = get_command(cli.app), list(words)
        while hasattr(command, "commands"):
            assert rest, f"avgzsl {' '.join(words)} is only half a command"
            assert rest[0] in command.commands, f"there is no avgzsl {' '.join(words)}"
            command = command.commands[rest.pop(0)]
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= flags, f"avgzsl {' '.join(words)} has no such option"


# the records of a pull request


@pytest.fixture
def changed(tmp_path):
    """Runs the workflow's step on what a branch changed; gives its exit code and the folders that were to be checked."""
    (script,) = [step["run"] for step in steps("records") if "submit check" in step.get("run", "")]
    repository, stub = tmp_path / "repository", tmp_path / "bin" / "avgzsl"
    stub.parent.mkdir()
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> "$ASKED"\nexit "${UNFIT:-0}"\n')
    stub.chmod(0o755)
    environment = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", "ASKED": str(tmp_path / "asked"), "BASE": "main"}

    def git(*words):
        own = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *own, *words], cwd=repository, check=True, capture_output=True)

    def run(change, unfit=0):
        for name in ("kept", "gone", "other"):
            (repository / "leaderboards" / "records" / name).mkdir(parents=True)
            for file in ("record.json", "decisions.safetensors"):
                (repository / "leaderboards" / "records" / name / file).write_text(f"{name} {file}\n" * 5)
        git("init", "-q", "-b", "main")
        git("add", ".")
        git("commit", "-q", "-m", "base")
        git("checkout", "-q", "-b", "branch")
        change(repository / "leaderboards" / "records")
        git("add", "-A", ".")
        git("commit", "-q", "--allow-empty", "-m", "change")
        shell = ["bash", "-e", "-o", "pipefail", "-c", script]
        done = subprocess.run(shell, cwd=repository, env={**environment, "UNFIT": str(unfit)}, capture_output=True, text=True)
        asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").is_file() else []
        return done.returncode, asked

    return run


def test_records_that_changed_are_checked_and_no_others(changed):
    def change(folder):
        (folder / "a new one").mkdir()
        (folder / "a new one" / "record.json").write_text("{}")
        (folder / "a new one" / "decisions.safetensors").write_text("1")
        (folder / "kept" / "decisions.safetensors").write_text("2")
        for path in [*(folder / "gone").iterdir()]:
            path.unlink()
        (folder.parents[1] / "README.md").write_text("3")

    assert changed(change) == (0, ["submit", "check", "leaderboards/records/a new one", "leaderboards/records/kept"])


def test_a_record_that_is_unfit_fails_the_check(changed):
    code, asked = changed(lambda folder: (folder / "kept" / "record.json").write_text("{}"), unfit=1)
    assert code != 0
    assert asked == ["submit", "check", "leaderboards/records/kept"]


def test_a_pull_request_without_records_checks_none(changed):
    assert changed(lambda folder: (folder.parents[1] / "README.md").write_text("1")) == (0, [])
