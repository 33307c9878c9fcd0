"""The plugin `openai` against a local server that behaves and misbehaves; no key leaves it, no run asks a server."""

import logging
import shutil
import tomllib
import traceback
from pathlib import Path

import embeddings_server as server
import numpy as np
import pytest
import test_example_plugin as example
from encoding import TEXTS, build, encode, one_line
from pytest_socket import disable_socket, enable_socket

from avgzsl_bench import files, plugins, text
from avgzsl_bench.contracts import ClassInfo
from avgzsl_bench.errors import AvgzslError
from avgzsl_bench.testing import kit
from avgzsl_bench.text import ahead
from avgzsl_bench.text.sources import Choice

pytest.importorskip("openai", reason="needs the client that the plugin depends on")
pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

FOLDER = Path(__file__).resolve().parents[1] / "plugins" / "avgzsl-openai"
SECRET = "sk-very-secret-0123456789"
CLASSES = [ClassInfo(name, name, "train") for name in TEXTS]


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """The plugin as pip would install it: its folder on the path, and its entry point."""
    points = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]["entry-points"]["avgzsl_bench"]
    info = tmp_path / "site" / "avgzsl_openai-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: avgzsl-openai\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[avgzsl_bench]\nopenai = {points['openai']}\n")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("AVGZSL_PLUGINS", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    plugins.registry.cache_clear()
    yield
    plugins.registry.cache_clear()


@pytest.fixture
def served():
    with server.serving() as running:
        yield running


def settings(served, **more):
    return {"endpoint": served.endpoint, "model": "tiny", **more}


# a server that behaves


@pytest.mark.parametrize("size", [2, 64])
def test_vectors_are_the_servers_in_the_order_of_the_texts(served, size, caplog):
    with caplog.at_level(logging.INFO, "avgzsl_bench.text"):
        vectors = encode("openai", settings(served, batch_size=size))
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, [server.vector(text) for text in TEXTS], atol=1e-6)
    assert [len(body["input"]) for _, _, body in served.requests] == ([2, 2, 1] if size == 2 else [5])
    assert {(path, body["model"]) for path, _, body in served.requests} == {("/v1/embeddings", "tiny")}
    assert all("dimensions" not in body and body["encoding_format"] == "float" for _, _, body in served.requests)
    assert len(caplog.records) == (2 if size == 2 else 0)


def test_an_answer_in_another_order_is_sorted(served):
    served.script = [server.changed(lambda rows: rows[::-1])]
    assert np.allclose(encode("openai", settings(served)), [server.vector(text) for text in TEXTS], atol=1e-6)


def test_dimensions_are_asked_for(served):
    assert encode("openai", settings(served, dimensions=3)).shape == (5, 3)
    assert [body["dimensions"] for _, _, body in served.requests] == [3]


def test_the_key_goes_to_the_endpoint_and_a_server_without_keys_needs_none(served, monkeypatch):
    encode("openai", settings(served))
    monkeypatch.delenv("OPENAI_API_KEY")
    encode("openai", settings(served))
    monkeypatch.setenv("OPENAI_API_KEY", f" {SECRET}\n")
    encode("openai", settings(served))
    assert [key for _, key, _ in served.requests] == [f"Bearer {SECRET}", "Bearer none", f"Bearer {SECRET}"]


@pytest.mark.parametrize("trouble", [server.refuse(429, retry_after_ms=1), server.refuse(500, retry_after_ms=1), server.hang_up])
def test_trouble_that_passes_is_tried_again(served, trouble):
    served.script = [trouble]
    assert encode("openai", settings(served)).shape == (5, server.WIDTH)
    assert len(served.requests) == 2


# a server that misbehaves

ONCE = {"retry_after_ms": 1}
MALFORMED = r"gave a malformed answer \(.*check that encoder\.endpoint is an embeddings API"
FAULTS = {
    "wrong key": ([server.echo_key], r"answered 401 \(Incorrect API key: Bearer \*\*\*\); set OPENAI_API_KEY"),
    "forbidden": ([server.refuse(403)], "answered 403 .*a key that may use this model"),
    "unknown model": ([server.refuse(404, "no such\nmodel")], r"answered 404 \(no such model\); check encoder.model"),
    "bad request": ([server.refuse(400)], "answered 400 .*check encoder.model and encoder.dimensions"),
    "limits": ([server.refuse(429, **ONCE)] * 3, "answered 429 .*wait, or raise the limits"),
    "server error": ([server.refuse(500, **ONCE)] * 3, "answered 500 .*try again later"),
    "no json with an error": ([lambda handler, rows: handler.send(404, b"<html>nothing")], "answered 404 .*nothing"),
    "hung up": ([server.hang_up] * 3, r"connection to 127\.0\.0\.1:\d+ failed .*check encoder.endpoint"),
    "cut connection": ([server.break_off] * 3, r"connection to 127\.0\.0\.1:\d+ failed"),
    "no json": ([server.say(b"<html>")], MALFORMED),
    "another api": ([server.say({"choices": []})], MALFORMED),
    "no numbers": ([server.changed(lambda rows: [{**row, "embedding": ["x"]} for row in rows])], MALFORMED),
    "not finite": ([server.changed(lambda rows: [{**row, "embedding": [float("nan")]} for row in rows])], MALFORMED),
    "too few": ([server.changed(lambda rows: rows[1:])], "gave 4 vectors for 5 texts"),
    "one twice": ([server.changed(lambda rows: [rows[0], *rows[:4]])], "gave 5 vectors for 5 texts, or numbered them wrongly"),
    "two widths": ([server.changed(lambda rows: [{**rows[0], "embedding": [1.0]}, *rows[1:]])], "vectors of 1 and 6 entries"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_without_the_key(served, fault, caplog, capfd):
    served.script, message = list(FAULTS[fault][0]), FAULTS[fault][1]
    with caplog.at_level(logging.DEBUG), pytest.raises(AvgzslError, match=message) as error:
        encode("openai", settings(served))
    assert SECRET not in one_line(error) + caplog.text + "".join(capfd.readouterr())
    shown = "".join(traceback.format_exception(error.value))
    assert "During handling" not in shown
    assert "direct cause" not in shown


def test_a_slow_server_is_one_line(served):
    served.script = [server.slow] * 3
    with pytest.raises(AvgzslError, match=r"did not answer within 0\.05 s; try again, or raise encoder.timeout") as error:
        encode("openai", settings(served, timeout=0.05))
    one_line(error)


def test_a_width_other_than_asked_is_one_line(served):
    served.script = [server.changed(lambda rows: [{**row, "embedding": [1.0, 2.0]} for row in rows])]
    with pytest.raises(AvgzslError, match="gave vectors of 2 entries, not 3 as asked") as error:
        encode("openai", settings(served, dimensions=3))
    one_line(error)


def test_nobody_listening_is_one_line(served):
    given = settings(served)
    served.server_close()
    with pytest.raises(AvgzslError, match=r"connection to 127\.0\.0\.1:\d+ failed \(.*refused") as error:
        encode("openai", given)
    one_line(error)


def test_a_server_that_says_much_is_cut_short(served):
    served.script = [server.refuse(404, "no such model, " * 40)]
    with pytest.raises(AvgzslError, match="answered 404") as error:
        encode("openai", settings(served))
    assert len(one_line(error)) < 300


# settings, key and identity


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("localhost:8000", "is no address"),
        ("ftp://host/v1", "is no address"),
        ("http://host:port/v1", "is no address"),
        ("", "is no address"),
        ("http:///v1", "is no address"),
        ("http://ho\nst/v1", "is no address"),
        ("http://é..x/v1", "is no address"),
        (f"https://me:{SECRET}@host/v1", "holds a password"),
        (f"https://host/v1?key={SECRET}", "holds a password or a query"),
        (f"https://host/v1#{SECRET}", "holds a password or a query"),
    ],
)
def test_an_endpoint_that_is_none_or_holds_a_secret_is_refused(endpoint, message):
    with pytest.raises(AvgzslError, match=message) as error:
        build("openai", {"endpoint": endpoint})
    assert SECRET not in one_line(error)


KEYS = [(" ", "wants a key; set the environment variable"), *((f"sk a{sign}b", "holds a space") for sign in " \n\x07é")]


@pytest.mark.parametrize(("key", "message"), KEYS)
def test_a_key_that_is_missing_or_broken_is_one_line(key, message, monkeypatch, socket_disabled):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(AvgzslError, match=message) as error:
        encode("openai")
    assert "sk a" not in one_line(error)


def test_the_revision_names_model_and_host():
    assert build("openai").revision == "text-embedding-3-small@api.openai.com"
    local = build("openai", {"endpoint": "http://Localhost:8000/v1/", "model": "mine", "dimensions": 64})
    assert (local.revision, local.space) == ("mine@localhost:8000", "openai:mine:64")
    assert local.settings.endpoint == "http://Localhost:8000/v1"
    with pytest.raises(AvgzslError, match="has nothing to fetch; `avgzsl text encode DATASET --encoder openai`"):
        local.fetch()


# runs ask nobody


def test_class_text_asks_only_when_allowed_and_only_once(served):
    given = settings(served)
    with pytest.raises(AvgzslError, match="`avgzsl text encode DATASET --encoder openai` encodes them") as error:
        text.class_text("toy", CLASSES, Choice(), "openai", given, "corrected")
    one_line(error)
    assert served.requests == []
    (task,) = ahead.plan("toy", CLASSES, Choice(), "openai", given, "corrected")
    ahead.encode(task)
    table = text.class_text("toy", CLASSES, Choice(), "openai", given, "corrected")
    again = text.class_text("toy", CLASSES, Choice(), "openai", {**given, "batch_size": 1, "timeout": 5}, "corrected")
    assert np.array_equal(table.vectors, again.vectors)
    assert table.encoder_settings == given
    assert len(served.requests) == 1


def test_a_run_refuses_a_cold_cache_and_reads_a_warm_one_without_a_socket(served, avgzsl, tmp_path, caplog):
    choice = [
        "--encoder",
        "openai",
        *(word for item in settings(served).items() for word in ("--set", "encoder.{}={}".format(*item))),
    ]
    run = ["run", "--method", "eszsl", "--dataset", "demo", *choice, "--out", tmp_path / "out", "--device", "cpu"]
    try:
        disable_socket()
        code, out, err = avgzsl(*run)
        assert (code, out) == (2, "")
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        assert err.endswith(line + "\n")
        assert "asks a server, which a run never does" in line
        enable_socket()
        encoded = avgzsl("text", "encode", "demo", *choice)
        assert encoded[0] == 0, encoded[2]
        asked = len(served.requests)
        disable_socket()
        code, out, err = avgzsl(*run)
    finally:
        enable_socket()
    assert code == 0, err
    assert asked == len(served.requests) == 1
    written = [*(tmp_path / "out").rglob("*"), *files.cache_root().rglob("*"), *files.data_root().rglob("*")]
    assert any(path.name == "record.json" for path in written)
    assert not [path for path in written if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert SECRET not in "".join(encoded[1:]) + out + err + caplog.text


def test_its_check_asks_nobody(socket_disabled):
    results = [kit.result_of(check) for check in kit.checks_of("openai")]
    assert [result for result in results if result.outcome == "fail"] == []
    skipped = {result.reason for result in results if result.outcome == "skipped"}
    assert skipped == {"it asks a server, which a check never does"}


def test_it_installs_and_says_what_it_is(tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "source", ignore=shutil.ignore_patterns("__pycache__"))
    example.install(copy, tmp_path / "pip")
    shown = example.avgzsl(tmp_path / "pip", "show", "openai")
    assert shown.returncode == 0, shown.stderr
    for word in ("text-embedding-3-small@api.openai.com", "of the endpoint's provider", "dimensions", "timeout"):
        assert word in shown.stdout
    assert SECRET not in shown.stdout
