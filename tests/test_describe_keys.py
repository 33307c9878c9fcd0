"""Keys of a chat server stay where they are: in the environment, and in the header of a request."""

import os
import subprocess
import sys

import pytest
from chat_server import changed, entry, failed, pack_path, reply, status

from avgzsl_bench.files import cache_root, data_root

pytest_plugins = ("describe_fixtures",)

KEY = "sk-a-secret-of-the-test-0123456789"


def written():
    """Everything in the folders that the project writes to."""
    files = [path for root in (data_root(), cache_root()) for path in root.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


@pytest.fixture
def with_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_the_key_is_sent_and_neither_printed_nor_stored(with_key, describe, mini, server):
    server.script = {
        mini[0]: [reply(f"you sent {KEY}")],
        mini[1]: [changed(mini[1], sound=f"{entry(mini[1])['sound']} {KEY}")],
        mini[2]: [reply("no", model=KEY)],
        mini[3]: [status(500, f"no {KEY}", X_Key=KEY)],
    }
    code, out, err = describe()
    assert code == 0, err
    assert {headers["authorization"] for _, _, headers, _ in server.asked} == {f"Bearer {KEY}"}
    assert KEY not in out + err
    assert b"served-model-1" in written()
    assert b"[key]" in written()
    assert KEY.encode() not in written()


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422, 429, 500])
def test_a_server_that_repeats_the_key_in_an_error(with_key, describe, mini, server, code):
    server.script = {name: [status(code, f"bad key {KEY} or so")] * 2 for name in mini}
    line = failed(describe("--retries", "0"))
    assert str(code) in line
    assert KEY not in line
    assert KEY.encode() not in written()


def test_nor_is_it_logged_with_every_log_switched_on(with_key, mini, server):
    words = ["--verbose", "text", "describe", "mini", "--model", "m", "--endpoint", server.url, "--yes"]
    server.script[mini[0]] = [status(500, KEY)]
    done = subprocess.run(
        [sys.executable, "-m", "avgzsl_bench", *words], env={**os.environ, "OPENAI_LOG": "debug"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "HTTP Request" in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert KEY.encode() not in written()


def test_a_word_that_local_servers_take_for_a_key_is_left_in_the_texts(describe, mini, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "people")
    assert describe()[0] == 0
    assert "which people do for fun" in pack_path().read_text()


def test_a_local_server_needs_no_key(describe, mini, server):
    assert describe()[0] == 0
    assert server.asked


def test_openai_needs_one(refused):
    assert "set $OPENAI_API_KEY, or give the --endpoint" in refused("text", "describe", "demo", "--model", "m", "--yes")


@pytest.mark.parametrize("key", [f"{KEY} {KEY}", f"{KEY}ä", f"{KEY}\n{KEY}"])
def test_a_key_that_is_none_is_not_shown(refused, server, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    said = refused("text", "describe", "demo", "--model", "m", "--endpoint", server.url, "--yes")
    assert "holds a character that no key has" in said
    assert "secret" not in said


def test_a_key_wrapped_in_space_is_used(describe, mini, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\n")
    assert describe()[0] == 0
    assert server.asked[0][2]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("where", ["{}:" + KEY + "@", KEY + "@"])
def test_a_key_in_the_endpoint_is_refused_and_not_shown(refused, where):
    said = refused("text", "describe", "demo", "--model", "m", "--yes", "--endpoint", f"http://{where}localhost:8000/v1")
    assert "the endpoint at localhost holds more than an address" in said
    assert KEY not in said


@pytest.mark.parametrize("sign", ["?key=", "#"])
def test_nor_after_its_path(refused, sign):
    said = refused("text", "describe", "demo", "--model", "m", "--yes", "--endpoint", f"http://localhost/v1{sign}{KEY}")
    assert "not in the URL" in said
    assert KEY not in said


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:8000",
        "http://",
        "ftp://localhost/v1",
        "http://localhost:port/v1",
        "http://local\nhost/v1",
        "http://é..x/v1",
        "nonsense",
    ],
)
def test_an_endpoint_that_is_none(refused, endpoint):
    said = refused("text", "describe", "demo", "--model", "m", "--yes", "--endpoint", endpoint)
    assert "the endpoint is no URL of a server; give one such as http://localhost:8000/v1" in said


def test_the_endpoint_of_the_environment(avgzsl, mini, server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert avgzsl("text", "describe", "mini", "--model", "m", "--yes")[0] == 0
    assert len(server.asked) == len(mini)


def test_an_endpoint_that_is_given_counts_more(describe, mini, server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert describe("--retries", "0")[0] == 0
    assert len(server.asked) == len(mini)
