# SPDX-License-Identifier: Apache-2.0
"""What the tests of the billing plugin share: a price book, the ledger, and a truthful client."""

import json
import socket

PRICES = """currency: EUR
models:
  echo:
  - {from: 2020-01-01, prompt: 1, cached: 0.25, completion: 4, request: 0.0001, gpu_second: 0}
"""


def plugin(directory, more=""):
    """The plugin's entry under `plugins:`, with a price book beside it."""
    file = directory / "prices.yaml"
    file.write_text(PRICES)
    return f"- billing: {{price_book: {file}{more}}}"


def ledger(daemon, tenant="", **query):
    """All entries, page by page."""
    entries, after = [], ""
    while True:
        text = "".join(f"&{name}={value}" for name, value in query.items())
        path = f"/admin/v1/usage?tenant={tenant}&limit=1000{text}{after}"
        status, head, body = daemon.request(path, admin=True)
        assert status == 200, body
        lines = [body] if isinstance(body, dict) else [json.loads(x) for x in body.splitlines()]
        if not lines:
            return entries
        entries += lines
        after = f"&after={lines[-1]['month']}:{lines[-1]['place']}"


def sums(entries):
    """By request id: delivered tokens, amount, how many usage entries."""
    by_id = {}
    for e in entries:
        s = by_id.setdefault(e["request_id"], {"delivered": 0, "amount": 0, "usage": 0})
        s["delivered"] += e["delivered_tokens"]
        s["amount"] += e["amount_micro"]
        s["usage"] += e["type"] == "usage"
    return by_id


class Truth:
    """One request over a socket of its own; counts the tokens whose bytes it got.

    The echo model's tokens are the bytes of its answer, and one more ends it."""

    def __init__(self, address, request_id, n_tokens, stream, body=None, headers=None):
        self.request_id, self.stream = request_id, stream
        self.tokens = 0  # received
        self.complete = False
        self.status = None
        self.rest = b""
        payload = {
            "model": "echo",
            "stream": stream,
            "messages": [{"role": "user", "content": "x" * n_tokens}],
            **(body or {}),
        }
        data = json.dumps(payload).encode()
        head = {
            "Host": "t",
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            "x-request-id": request_id,
            **(headers or {}),
        }
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        lines = "".join(f"{k}: {v}\r\n" for k, v in head.items())
        self.socket.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + data)
        self.received = b""

    def run(self, until_tokens=None):
        """Reads to the end, or until so many tokens came; a broken connection is an end too."""
        try:
            while not self.complete and (until_tokens is None or self.tokens < until_tokens):
                piece = self.socket.recv(65536)
                if not piece:
                    break
                self.take(piece)
        except OSError:
            pass
        return self

    def close(self):
        self.socket.close()

    def take(self, piece):
        self.received += piece
        if self.status is None and b"\r\n\r\n" in self.received:
            head, self.rest = self.received.split(b"\r\n\r\n", 1)
            self.status = int(head.split(b" ", 2)[1])
            self.length = None
            for line in head.split(b"\r\n")[1:]:
                name, value = line.split(b":", 1)
                if name.strip().lower() == b"content-length":
                    self.length = int(value)
        elif self.status is not None:
            self.rest += piece
        if self.status is None:
            return
        if self.length is not None:
            if len(self.rest) >= self.length:
                self.complete = True
                answer = json.loads(self.rest)
                if self.status == 200:
                    self.tokens = answer["usage"]["completion_tokens"]
            return
        while b"\n" in self.rest:
            line, self.rest = self.rest.split(b"\n", 1)
            if line.startswith(b"data: {"):
                for choice in json.loads(line[6:]).get("choices", []):
                    self.tokens += len(choice.get("delta", {}).get("content") or "")
                    self.tokens += choice["finish_reason"] == "stop"
            elif line.startswith(b"data: [DONE]"):
                self.complete = True
