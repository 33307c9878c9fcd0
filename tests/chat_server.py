"""A server of the OpenAI-compatible chat API on this machine, which answers well, or as badly as a test tells it to."""

import json
import re
import socket
import struct
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from avgzsl_bench.files import data_root

CLASS = re.compile(r'^The class: "(.*)"$', re.MULTILINE)


def entry(name):
    """Three sound descriptions of a class."""
    return {
        "definition": f"The activity known as {name}, which people do for fun and practise together in a group.",
        "appearance": f"Somebody is busy with {name} in a bright room, and the camera follows every movement.",
        "sound": f"One hears the steady noise of {name} close to the microphone, with quiet voices behind it.",
    }


def good(name):
    """The answer of a model that does what it is asked to."""
    return reply(json.dumps(entry(name)))


def reply(content, finish="stop", model="served-model-1"):
    """A chat completion with this content."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}
    usage = {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400}
    return 200, {"id": "1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def status(code, said="no", **headers):
    """An error as such servers send it; `headers` with _ for -."""
    return code, {"error": {"message": said, "type": "error"}}, {key.replace("_", "-"): value for key, value in headers.items()}


def changed(name, **texts):
    """A good answer but for some of its texts; None leaves one out."""
    found = {**entry(name), **texts}
    return reply(json.dumps({key: text for key, text in found.items() if text is not None}))


class Server:
    """Keeps what it is asked; `script` holds for each class name what to do with its first requests, in turn.

    A deed is a reply (status, body), or a function of the handler that does something worse.
    """

    def __init__(self, url):
        self.url = url
        self.asked = []  # (class name, messages, headers, time)
        self.script = {}
        self.always = None
        self.pause = 0.0
        self.busy = self.most = 0  # requests under way
        self.lock = threading.Lock()

    def names(self):
        return [name for name, *_ in self.asked]

    def take(self, body, headers):
        name = CLASS.search(body["messages"][0]["content"])[1]
        with self.lock:
            self.asked.append((name, body["messages"], {key.lower(): value for key, value in headers.items()}, time.monotonic()))
            deeds = self.script.get(name)
            return deeds.pop(0) if deeds else self.always or good(name)


def cut(handler):
    """Resets the connection before a word is said."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def cut_within(handler):
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "1", "choi')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def slow(seconds):
    """Sleeps before it answers well."""

    def deed(handler):
        time.sleep(seconds)
        send(handler, *good("late"))

    return deed


def raw(body, kind="application/json"):
    """Sends these bytes, whatever they are."""
    return lambda handler: send(handler, 200, body, {"Content-Type": kind})


def send(handler, code, body, headers=None):
    """One whole response."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(code)
    for key, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}.items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def running():
    """Serve on a free port for the length of a block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            deed = server.take(body, self.headers) if self.path == "/v1/chat/completions" else status(404)
            with server.lock:
                server.busy += 1
                server.most = max(server.most, server.busy)
            time.sleep(server.pause)
            with server.lock:
                server.busy -= 1
            try:
                deed(self) if callable(deed) else send(self, *deed)
            except OSError:
                self.close_connection = True  # who asked has gone
            self.close_connection = self.close_connection or callable(deed)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.handle_error = lambda *arguments: None
    server = Server(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


# what the command says and leaves


def failed(outcome):
    """The one line of a command that failed after its lines of progress."""
    code, _, err = outcome
    *progress, line = err.splitlines()
    assert code == 2
    assert line.startswith("error: ")
    assert [said for said in progress if not said.startswith("[")] == []
    return line


def pack_path(name="m", dataset="mini"):
    return data_root() / "packs" / dataset / f"{name}.toml"


def log(name="m", dataset="mini"):
    path = pack_path(name, dataset).with_suffix("") / "answers.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]
