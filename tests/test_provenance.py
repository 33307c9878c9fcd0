"""The environment of a record: complete, JSON, and silent about the machine's owner."""

import getpass
import json
import platform
import subprocess
from pathlib import Path

import pytest
import torch

from avgzsl_bench import plugins, provenance


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A small repository that stands for ours."""
    package = tmp_path / "checkout" / "package"
    package.mkdir(parents=True)
    (package / "a.py").write_text("a = 1\n")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "_CODE", package)
    return package.parent


def test_environment_is_json_and_says_what_runs():
    found = provenance.environment("cpu")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["packages"]["torch"] == torch.__version__.split("+")[0]
    assert found["python"] == platform.python_version()
    assert found["threads"] == torch.get_num_threads()
    assert found["device"]["type"] == "cpu"
    assert len(found["code"]["sha256"]) == 64


def test_environment_names_no_path_host_user_or_secret(monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", "s3cr3t-value")
    told = json.dumps(provenance.environment())
    # a host or user name as short as "a" may be part of any word
    private = [str(Path.home()), str(Path(provenance.__file__).parent), "s3cr3t-value", platform.node()]
    assert [word for word in [*private, f"/{getpass.getuser()}"] if len(word) > 2 and word in told] == []


def test_code_names_the_commit_and_whether_it_was_changed(checkout):
    clean = provenance.code()
    assert clean["commit"] == git(checkout, "rev-parse", "HEAD")
    assert clean["dirty"] is False
    (checkout / "package" / "a.py").write_text("a = 2\n")
    changed = provenance.code()
    assert (changed["commit"], changed["dirty"]) == (clean["commit"], True)
    assert changed["sha256"] != clean["sha256"]


def test_changes_outside_the_package_do_not_make_it_dirty(checkout):
    (checkout / "record.json").write_text("{}")
    assert provenance.code()["dirty"] is False


def test_the_commit_of_an_enclosing_repository_is_not_ours(checkout, monkeypatch):
    installed = checkout / "venv" / "package"
    installed.mkdir(parents=True)
    (installed / "a.py").write_text("a = 1\n")
    same = provenance.code()["sha256"]
    monkeypatch.setattr(provenance, "_CODE", installed)
    assert provenance.code() == {"commit": None, "dirty": None, "sha256": same}


def test_without_git_the_hash_still_tells_versions_apart(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.code()["commit"] is None


def test_flags_follow_torch():
    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = provenance.flags(), [switch.allow_tf32 for switch in switches], torch.are_deterministic_algorithms_enabled()
    try:
        for switch, value in zip(switches, (not old for old in before[1]), strict=True):
            switch.allow_tf32 = value
        torch.use_deterministic_algorithms(not before[2])
        after = provenance.flags()
    finally:
        for switch, value in zip(switches, before[1], strict=True):
            switch.allow_tf32 = value
        torch.use_deterministic_algorithms(before[2])
    for key in ("tf32_matmul", "tf32_convolution", "deterministic_algorithms"):
        assert after[key] is not before[0][key]


def test_only_plugins_that_loaded_are_part_of_the_environment(monkeypatch):
    whole, broken = plugins.Plugin("good", "good-dist 1.0", ""), plugins.Plugin("bad", "bad-dist 2.0", "ImportError: no")
    registry = plugins.registry()._replace(plugins=[whole, broken])
    monkeypatch.setattr(plugins, "registry", lambda: registry)
    assert provenance.environment()["plugins"] == [{"name": "good", "distribution": "good-dist 1.0"}]
