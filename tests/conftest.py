"""Fixtures of every test: folders of its own, and the material beside the checkout where there is some."""

import os
import signal
from pathlib import Path

import pytest

# tests run side by side: one thread each, before torch is imported, is faster than all of them on every core
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a shell that starts them in the background lets them ignore Ctrl-C, and with them the commands that they interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("AVGZSL_DATA", str(root / "data"))
    monkeypatch.setenv("AVGZSL_CACHE", str(root / "cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder `shared` beside the checkout (the authors' split files and word vectors)")
    return folder


@pytest.fixture
def avgzsl(monkeypatch, capsys):
    from avgzsl_bench import cli

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["avgzsl", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def refused(avgzsl):
    """Runs a command that must fail with one line and exit code 2, leaving nothing in the store; returns the line."""
    from avgzsl_bench import files

    def run(*arguments):
        code, out, err = avgzsl(*arguments)
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert err.startswith("error: ")
        assert not files.data_root().exists() or list(files.data_root().iterdir()) == []
        return err

    return run
