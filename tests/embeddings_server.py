"""A local server that speaks OpenAI's embeddings protocol, and misbehaves as it is told to."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WIDTH = 6


def vector(text, width=WIDTH):
    """What the server answers for a text."""
    return [round(((sum(map(ord, text)) * (i + 3)) % 97) / 97 - 0.5, 6) for i in range(width)]


class Server(ThreadingHTTPServer):
    """`script` holds what to do with the next requests, in order; afterwards the server behaves."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.requests = [], []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        rows = [{"index": i, "embedding": vector(text, body.get("dimensions", WIDTH))} for i, text in enumerate(body["input"])]
        act = self.server.script.pop(0) if self.server.script else answer
        act(self, rows)

    def send(self, status, body, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        length = headers.pop("length", len(data))
        for name, value in {"Content-Type": "application/json", "Content-Length": length, **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(data)


def answer(handler, rows):
    handler.send(200, {"object": "list", "data": rows, "model": "tiny", "usage": {}})


def refuse(status, message="no", **headers):
    return lambda handler, rows: handler.send(status, {"error": {"message": message, "code": None}}, **headers)


def echo_key(handler, rows):
    refuse(401, f"Incorrect API key: {handler.headers['Authorization']}")(handler, rows)


def hang_up(handler, rows):
    handler.connection.close()


def break_off(handler, rows):
    handler.send(200, b'{"data": [{"ind', length=5000)
    handler.connection.close()


def slow(handler, rows):
    time.sleep(1)
    answer(handler, rows)


def say(body):
    return lambda handler, rows: handler.send(200, body)


def changed(change):
    """An answer whose rows went through a function."""
    return lambda handler, rows: answer(handler, change(rows))


@contextmanager
def serving():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
