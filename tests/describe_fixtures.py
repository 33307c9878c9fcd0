"""Fixtures of generation: a chat server, a table of one's own, and the command that asks about it."""

import chat_server
import pytest
import tables

from avgzsl_bench import datasets


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_LOG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with chat_server.running() as found:
        yield found


@pytest.fixture
def mini(tmp_path):
    """Class names of a table of one's own."""
    tables.write(tmp_path / "table")
    return [info.text_name for info in datasets.get("mini").classes("main")]


@pytest.fixture
def describe(avgzsl, server):
    def run(*options, dataset="mini"):
        return avgzsl("text", "describe", dataset, "--model", "m", "--endpoint", server.url, "--yes", *options)

    return run
