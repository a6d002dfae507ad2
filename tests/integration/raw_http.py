# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 by hand, for tests that send what no client library would."""

import dataclasses
import json


@dataclasses.dataclass
class Response:
    status: int
    headers: dict  # names in lower case; a repeated one is joined by ", "
    body: bytes
    trailers: dict = dataclasses.field(default_factory=dict)

    def json(self):
        return json.loads(self.body)

    def error(self):
        return self.json()["error"]["code"]

    def events(self):
        """The data of a stream's events; the last one may be "[DONE]"."""
        return [e[6:].decode() for e in self.body.split(b"\n\n") if e.startswith(b"data: ")]

    def text(self, choice=0):
        """What one choice of a streamed chat says."""
        out = ""
        for event in self.events():
            if event != "[DONE]":
                for c in json.loads(event).get("choices", []):
                    if c["index"] == choice:
                        out += c["delta"].get("content") or ""
        return out


def _fields(block):
    fields = {}
    for line in block.split(b"\r\n"):
        if line:
            name, _, value = line.decode().partition(":")
            name, value = name.lower(), value.strip()
            fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _chunked(data):
    """(body, trailers, rest), or None when there is not all of it. By places in data, which is not
    copied: a stream may have thousands of chunks."""
    pieces, at = [], 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size, at = int(data[at:end], 16), end + 2
        if size == 0:
            break
        if len(data) < at + size + 2:
            return None
        assert data[at + size : at + size + 2] == b"\r\n"
        pieces.append(data[at : at + size])
        at += size + 2
    if data.startswith(b"\r\n", at):
        return b"".join(pieces), {}, data[at + 2 :]
    end = data.find(b"\r\n\r\n", at)
    return (b"".join(pieces), _fields(data[at:end]), data[end + 4 :]) if end >= 0 else None


def take_response(data, at_end=False, head_only=False):
    """(Response, rest) of the first response in data, or None when there is not all of it."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    line, _, block = head.partition(b"\r\n")
    version, status = line.split(b" ", 2)[:2]
    assert version == b"HTTP/1.1"
    headers = _fields(block)
    response = Response(int(status), headers, b"")
    if response.status < 200 or response.status in (204, 304) or head_only:
        return response, rest
    if headers.get("transfer-encoding") == "chunked":
        whole = _chunked(rest)
        if not whole:
            return None
        response.body, response.trailers, rest = whole
        return response, rest
    if "content-length" in headers:
        size = int(headers["content-length"])
        if len(rest) < size:
            return None
        response.body = rest[:size]
        return response, rest[size:]
    if not at_end:
        return None
    response.body = rest
    return response, b""


def post(path, body, headers=(), host="weir"):
    """The bytes of a POST with a JSON body."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json",
             f"Content-Length: {len(payload)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload
