# SPDX-License-Identifier: Apache-2.0
"""Bytes on the wire: smuggling, limits, slow and odd clients against the real daemon.

Each bad client runs beside a good one, whose stream must come out whole."""

import json
import socket
import threading
import time

import pytest

import raw_http
from conftest import echo_config, wait_until

CHAT = "/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
GOOD = raw_http.post(CHAT, HELLO)
GET = b"GET /v1/models HTTP/1.1\r\nHost: weir\r\n"


class Wire:
    """One socket and what came out of it."""

    def __init__(self, daemon, data=b""):
        self.socket = daemon.connect()
        self.data, self.at_end = b"", False
        if data:
            self.send(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has been refused already; the answer is what counts

    def more(self):
        piece = self.socket.recv(65536)
        self.data += piece
        self.at_end = not piece

    def response(self, head_only=False):
        while True:
            whole = raw_http.take_response(self.data, self.at_end, head_only)
            if whole:
                self.data = whole[1]
                assert whole[0].status < 200 or whole[0].headers["x-request-id"]
                return whole[0]
            assert not self.at_end, f"ended after {self.data!r}"
            self.more()

    def ends(self):
        """The daemon closes, and sends nothing more."""
        while not self.at_end:
            self.more()
        return self.data == b""


def ask(daemon, data, **how):
    with Wire(daemon, data) as w:
        return w.response(**how)


def refused(daemon, data):
    """(status, code) of the one answer to data, after which the daemon closes."""
    with Wire(daemon, data) as w:
        response = w.response()
        assert response.headers["connection"] == "close"
        assert w.ends(), f"a second answer: {w.data!r}"
        return response.status, response.error()


@pytest.fixture(scope="module")
def daemon(binary, tmp_path_factory):
    from conftest import Daemon

    limits = "target_bytes: 1KiB, header_bytes: 4KiB, headers: 20, body_bytes: 64KiB"
    config = echo_config(options=", options: {delay_us: 2000}").replace(
        "server: {", f"server: {{limits: {{{limits}}}, "
    )
    d = Daemon(binary, tmp_path_factory.mktemp("wire"), config)
    yield d
    code, text = d.stop(), d.log_text()
    assert code == 0 and "Sanitizer" not in text and "runtime error" not in text, text


@pytest.fixture(autouse=True)
def good_client(request):
    """Streams beside each test; the test may do what it likes, this must come out whole."""
    if "daemon" not in request.fixturenames:
        yield
        return
    d = request.getfixturevalue("daemon")
    text = "a stream beside bad company " * 4
    body = {"messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 200}
    with Wire(d, raw_http.post(CHAT, body)) as w:
        while b"data: " not in w.data:
            w.more()
        yield
        response = w.response()
        assert response.text() == text and response.events()[-1] == "[DONE]"
        assert ask(d, GOOD).status == 200


def head(*lines, line=f"POST {CHAT} HTTP/1.1"):
    return "\r\n".join([line, *lines]).encode() + b"\r\n\r\n"


BODY = json.dumps(HELLO).encode()
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
ONE_CHUNK = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
SECOND = b"GET /healthz/live HTTP/1.1\r\nHost: weir\r\n\r\n"  # what a smuggler wants to be answered

SMUGGLING = {
    "length and coding": head("Host: a", LENGTH, CHUNKED) + ONE_CHUNK,
    "coding and length": head("Host: a", CHUNKED, LENGTH) + ONE_CHUNK,
    "two lengths": head("Host: a", LENGTH, "Content-Length: 4") + BODY,
    "two equal lengths": head("Host: a", LENGTH, LENGTH) + BODY,
    "a list of lengths": head("Host: a", f"{LENGTH}, {len(BODY)}") + BODY,
    "a signed length": head("Host: a", f"Content-Length: +{len(BODY)}") + BODY,
    "a negative length": head("Host: a", "Content-Length: -1") + BODY,
    "a hex length": head("Host: a", "Content-Length: 0x10") + BODY,
    "a length with a space": head("Host: a", "Content-Length: 1 0") + BODY,
    "an empty length": head("Host: a", "Content-Length:") + BODY,
    "a length beyond 64 bits": head("Host: a", "Content-Length: 18446744073709551617") + BODY,
    "coding identity": head("Host: a", "Transfer-Encoding: identity") + BODY,
    "coding twice": head("Host: a", "Transfer-Encoding: chunked, chunked") + ONE_CHUNK,
    "coding on two lines": head("Host: a", CHUNKED, "Transfer-Encoding: identity") + ONE_CHUNK,
    "coding gzip": head("Host: a", "Transfer-Encoding: gzip, chunked") + ONE_CHUNK,
    "chunked not last": head("Host: a", "Transfer-Encoding: chunked, gzip") + ONE_CHUNK,
    "coding with a prefix": head("Host: a", "Transfer-Encoding: xchunked") + ONE_CHUNK,
    "coding with a vertical tab": head("Host: a", "Transfer-Encoding:\x0bchunked") + ONE_CHUNK,
    "coding in quotes": head("Host: a", 'Transfer-Encoding: "chunked"') + ONE_CHUNK,
    "space before colon": head("Host: a", "Transfer-Encoding : chunked") + ONE_CHUNK,
    "tab before colon": head("Host: a", "Content-Length\t: 4") + BODY,
    "folded field": head("Host: a", "X: a", " b", LENGTH) + BODY,
    "folded coding": head("Host: a", "Transfer-Encoding:", " chunked") + ONE_CHUNK,
    "space before the first field": head(" Host: a", LENGTH) + BODY,
    "bare line feeds": head("Host: a", LENGTH).replace(b"\r\n", b"\n") + BODY,
    "one bare line feed": head("Host: a\nX: b", LENGTH) + BODY,
    "bare carriage return": head("Host: a\rX: b", LENGTH) + BODY,
    "NUL in a value": head("Host: a", "X: a\0b", LENGTH) + BODY,
    "no colon": head("Host: a", "nonsense", LENGTH) + BODY,
    "empty name": head("Host: a", ": x", LENGTH) + BODY,
    "coding in 1.0": head("Host: a", CHUNKED, line=f"POST {CHAT} HTTP/1.0") + ONE_CHUNK,
    "two hosts": head("Host: a", "Host: b", LENGTH) + BODY,
    "no host": head(LENGTH) + BODY,
    "host that is not the target's": head("Host: b", LENGTH, line=f"POST http://a{CHAT} HTTP/1.1") + BODY,
    "chunk size that overflows": head("Host: a", CHUNKED) + b"10000000000000001\r\n" + BODY,
    "chunk size with a sign": head("Host: a", CHUNKED) + b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk size 0x": head("Host: a", CHUNKED) + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a space": head("Host: a", CHUNKED) + b"5 \r\nhello\r\n0\r\n\r\n",
    "empty chunk size": head("Host: a", CHUNKED) + b"\r\nhello\r\n0\r\n\r\n",
    "chunk without line end": head("Host: a", CHUNKED) + b"5\r\nhelloX\r\n0\r\n\r\n",
    "chunk size with bare LF": head("Host: a", CHUNKED) + b"5\nhello\r\n0\r\n\r\n",
    "bare LF in an extension": head("Host: a", CHUNKED) + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "chunk data with bare LF": head("Host: a", CHUNKED) + b"5\r\nhello\n0\r\n\r\n",
    "more framing than content": head("Host: a", CHUNKED) + b"1;" + b"x" * 9000 + b"\r\na\r\n0\r\n\r\n",
    "two spaces in the request line": head("Host: a", LENGTH, line=f"POST  {CHAT} HTTP/1.1") + BODY,
    "tab in the request line": head("Host: a", LENGTH, line=f"POST\t{CHAT} HTTP/1.1") + BODY,
    "no version": f"POST {CHAT}\r\nHost: a\r\n\r\n".encode(),
    "version 2.0 in words": head("Host: a", LENGTH, line=f"POST {CHAT} HTTP/2.0") + BODY,
    "version 1.10": head("Host: a", LENGTH, line=f"POST {CHAT} HTTP/1.10") + BODY,
    "lower case method": head("Host: a", LENGTH, line=f"post {CHAT} HTTP/1.1") + BODY,
    "CONNECT": head("Host: a", line="CONNECT a:80 HTTP/1.1"),
    "TRACE": head("Host: a", line="TRACE / HTTP/1.1"),
    "HTTP/2 preface": b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 20,
}


@pytest.mark.parametrize("case", SMUGGLING, ids=lambda c: c.replace(" ", "-"))
def test_ambiguous_requests_are_refused_and_nothing_after_them_is_read(daemon, case):
    status, code = refused(daemon, SMUGGLING[case] + SECOND)
    assert status in (400, 501, 505), (status, code)
    assert code != "invalid_json"


def test_chunk_extensions_and_trailers_are_read_and_dropped(daemon):
    data = head("Host: a", CHUNKED) + b'%x;name="v;a"\r\n%s\r\n0;last\r\nX-Trailer: 1\r\n\r\n' % (len(BODY), BODY)
    with Wire(daemon, data + GOOD) as w:
        assert w.response().status == 200
        assert w.response().status == 200


@pytest.mark.parametrize("cut", range(len(ONE_CHUNK)))
def test_chunked_body_cut_at_every_byte(daemon, cut):
    with Wire(daemon, head("Host: a", CHUNKED) + ONE_CHUNK[:cut]) as w:
        time.sleep(0.001)
        w.send(ONE_CHUNK[cut:])
        response = w.response()
        assert response.json()["choices"][0]["message"]["content"] == "hello"


def test_body_and_head_byte_by_byte(daemon):
    with Wire(daemon) as w:
        w.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(GOOD)):
            w.send(GOOD[i : i + 1])
        assert w.response().status == 200


def test_garbage_after_a_request_is_refused_after_its_answer(daemon):
    with Wire(daemon, GOOD + b"\x00garbage\r\n\r\n") as w:
        assert w.response().status == 200
        assert w.response().status == 400
        assert w.ends()


def test_pipelining_behind_a_slow_generation(daemon):
    slow = raw_http.post(CHAT, {"messages": [{"role": "user", "content": "s" * 100}], "stream": True})
    with Wire(daemon, slow + GOOD + GET + b"\r\n" + GOOD) as w:
        assert w.response().text() == "s" * 100
        assert w.response().json()["choices"][0]["message"]["content"] == "hello"
        assert w.response().json()["object"] == "list"
        assert w.response().status == 200


def test_more_pipelined_than_is_kept(daemon):
    n = 600  # far above the 64 KiB that are kept while a request runs
    with Wire(daemon) as w:
        sender = threading.Thread(target=w.send, args=(GOOD * n,))
        sender.start()
        for _ in range(n):
            assert w.response().status == 200
        sender.join()


def test_expect_100_continue(daemon):
    with Wire(daemon, head("Host: a", LENGTH, "Expect: 100-continue")) as w:
        assert w.response().status == 100
        w.send(BODY)
        assert w.response().status == 200
    with Wire(daemon, head("Host: a", "Content-Length: 99999999", "Expect: 100-continue")) as w:
        assert w.response().status == 413  # and no 100 before it
        assert w.ends()
    with Wire(daemon, head("Host: a", LENGTH, "Expect: 100-continue", line="POST /nothing HTTP/1.1")) as w:
        assert w.response().status == 404
        assert w.ends()
    assert refused(daemon, head("Host: a", LENGTH, "Expect: miracles"))[0] == 417
    old = head("Host: a", LENGTH, "Expect: 100-continue", line=f"POST {CHAT} HTTP/1.0")
    assert ask(daemon, old + BODY).status == 200


@pytest.mark.parametrize(
    "data,status",
    [
        (head("Host: a", line=f"GET /{'a' * 2000} HTTP/1.1"), 414),
        (head("Host: a", f"X: {'a' * 5000}"), 431),
        (head("Host: a", *[f"X-{i}: a" for i in range(30)]), 431),
        (head("Host: a", "Content-Length: 70000") + b"x" * 70000, 413),
        (head("Host: a", CHUNKED) + b"%x\r\n" % 70000 + b"x" * 70000, 413),
        (head("Host: a", CHUNKED) + (b"fff\r\n" + b"x" * 0xFFF + b"\r\n") * 20, 413),
    ],
    ids=["target", "head", "fields", "length", "chunk", "chunks"],
)
def test_limits_of_size(daemon, data, status):
    assert refused(daemon, data)[0] == status


def test_an_early_error_lets_the_client_send_a_bounded_rest(daemon):
    """The answer must arrive although the client goes on to send; but not for ever."""
    for sent in (100_000, 5_000_000):
        with Wire(daemon, head("Host: a", f"Content-Length: {sent}")) as w:
            sender = threading.Thread(target=w.send, args=(b"x" * sent,))
            sender.start()
            response = w.response()
            assert (response.status, response.error()) == (413, "body_too_large")
            try:
                assert w.ends()
            except ConnectionResetError:
                assert sent > 1_000_000
            sender.join()


@pytest.mark.parametrize("path", ["/\xff", "/v1/\xc3\x28", "/a b", "/%zz", "/%", "/a\\b", "/\"", "/a\x7f", "a", "//\x01"])
def test_bad_targets(daemon, path):
    data = b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert refused(daemon, data)[0] == 400


def test_odd_but_good_targets(daemon):
    get = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
    assert ask(daemon, get % b"/v1/models?a=b&c=%C3%A4").status == 200
    assert ask(daemon, get % b"http://a/v1/models").status == 200
    assert ask(daemon, get % b"/v1/models/%FF%FE").status == 404
    assert ask(daemon, get % b"/..//v1/models").status == 404
    assert ask(daemon, get % b"/v1/models#fragment").status in (400, 404)


def test_methods(daemon):
    def without_body(method, path):
        return ask(daemon, head("Host: a", line=f"{method} {path} HTTP/1.1"), head_only=method == "HEAD")

    head_answer, get_answer = without_body("HEAD", "/v1/models"), without_body("GET", "/v1/models")
    assert head_answer.status == 200
    assert head_answer.headers["content-length"] == get_answer.headers["content-length"]
    for method, path, allow in [
        ("GET", CHAT, "OPTIONS, POST"),
        ("DELETE", "/v1/models", "OPTIONS, GET, HEAD"),
        ("PATCH", "/tokenize", "OPTIONS, POST"),
    ]:
        response = without_body(method, path)
        assert (response.status, response.error()) == (405, "method_not_allowed")
        assert sorted(response.headers["allow"].split(", ")) == sorted(allow.split(", "))
    assert without_body("HEAD", CHAT).status == 405
    options = without_body("OPTIONS", CHAT)
    assert options.status == 204 and "POST" in options.headers["allow"]
    assert {"GET", "HEAD", "POST", "OPTIONS"} <= set(without_body("OPTIONS", "*").headers["allow"].split(", "))
    missing = without_body("OPTIONS", "/nothing")
    assert missing.status == 404 and "allow" not in missing.headers
    # HEAD has no body, and the connection goes on behind it.
    with Wire(daemon, head("Host: a", line="HEAD /v1/models HTTP/1.1") + GOOD) as w:
        assert w.response(head_only=True).status == 200
        assert w.response().status == 200


def test_http_1_0(daemon):
    old = f"POST {CHAT} HTTP/1.0"
    with Wire(daemon, head(LENGTH, line=old) + BODY) as w:
        response = w.response()
        assert response.status == 200 and "transfer-encoding" not in response.headers
        assert w.ends()
    with Wire(daemon, head(LENGTH, "Connection: keep-alive", line=old) + BODY) as w:
        assert w.response().headers["connection"] == "keep-alive"
        w.send(GOOD)
        assert w.response().status == 200
    body = json.dumps({**HELLO, "stream": True}).encode()
    with Wire(daemon, head(f"Content-Length: {len(body)}", "Connection: keep-alive", line=old) + body) as w:
        response = w.response()  # of unknown length: ended by the close
        assert "transfer-encoding" not in response.headers and response.text() == "hello"
        assert response.events()[-1] == "[DONE]"


def test_connection_close_is_kept(daemon):
    with Wire(daemon, raw_http.post(CHAT, HELLO, ["Connection: close"]) + GOOD) as w:
        response = w.response()
        assert response.status == 200 and response.headers["connection"] == "close"
        assert w.ends()


def test_headers_of_answers(daemon):
    whole = ask(daemon, raw_http.post(CHAT, HELLO, ["x-request-id: mine-1"]))
    assert whole.headers["x-request-id"] == "mine-1"
    names = [part.split(";")[0].strip() for part in whole.headers["server-timing"].split(",")]
    assert names == ["queue", "prefill", "decode", "cache"]
    odd = ask(daemon, raw_http.post(CHAT, HELLO, ["x-request-id: <b>"]))
    assert odd.headers["x-request-id"].startswith("req_")
    streamed = {**HELLO, "stream": True}
    plain = ask(daemon, raw_http.post(CHAT, streamed))
    assert plain.headers["x-accel-buffering"] == "no"
    assert plain.headers["cache-control"] == "no-cache"
    assert plain.headers["content-type"].startswith("text/event-stream")
    names = [part.split(";")[0].strip() for part in plain.headers["server-timing"].split(",")]
    assert names == ["queue", "prefill"] and plain.trailers == {}
    told = ask(daemon, raw_http.post(CHAT, streamed, ["TE: trailers"]))
    assert told.headers["trailer"] == "Server-Timing" and told.text() == "hello"
    names = [part.split(";")[0].strip() for part in told.trailers["server-timing"].split(",")]
    assert names == ["decode", "cache"]


def test_cached_tokens_are_told(daemon):
    body = {"messages": [{"role": "user", "content": "the same long prompt " * 10}], "max_tokens": 2}
    first, second = (ask(daemon, raw_http.post(CHAT, body)) for _ in range(2))
    cached = second.json()["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached >= 16 and f'cache;desc="{cached} tokens"' in second.headers["server-timing"]


@pytest.fixture
def hasty(start):
    """Limits of time that a test can wait for."""
    limits = "header_timeout: 500ms, body_timeout: 500ms, keepalive_timeout: 500ms"
    return start(echo_config().replace("server: {", f"server: {{limits: {{{limits}}}, "))


@pytest.mark.parametrize(
    "begin,drip,code",
    [
        (b"POST", b"", "header_timeout"),
        (GET, b"X-A: b\r\n", "header_timeout"),
        (head("Host: a", "Content-Length: 100") + b"{", b"", "body_timeout"),
        (head("Host: a", CHUNKED) + b"5\r\nhe", b"", "body_timeout"),
    ],
    ids=["request line", "fields", "body", "chunk"],
)
def test_slow_senders_are_timed_out(hasty, begin, drip, code):
    with Wire(hasty, begin) as w:
        w.socket.settimeout(0.05)
        end = time.monotonic() + 20
        while not w.data and time.monotonic() < end:
            if drip:
                w.send(drip)
            try:
                w.more()
            except TimeoutError:
                pass
        w.socket.settimeout(30)
        response = w.response()
        assert (response.status, response.error()) == (408, code)
        assert response.headers["connection"] == "close"
    assert ask(hasty, GOOD).status == 200


def test_idle_connections_are_closed_in_silence(hasty):
    with Wire(hasty, GOOD) as w:
        assert w.response().status == 200
        assert w.ends()
    with Wire(hasty) as w:
        assert w.ends()


def test_a_slow_answer_is_no_idle_connection(start):
    limits = "header_timeout: 500ms, body_timeout: 500ms, keepalive_timeout: 500ms"
    daemon = start(echo_config(options=", options: {delay_us: 100000}").replace(
        "server: {", f"server: {{limits: {{{limits}}}, "))
    body = {"messages": [{"role": "user", "content": "x" * 20}]}
    assert ask(daemon, raw_http.post(CHAT, body)).status == 200


def test_too_many_connections_are_told_so(start):
    daemon = start(echo_config().replace("server: {", "server: {workers: 1, limits: {connections: 3}, "))
    kept = [Wire(daemon) for _ in range(3)]
    for w in kept:
        w.send(GOOD)
        assert w.response().status == 200
    response = ask(daemon, GOOD)
    assert (response.status, response.error()) == (503, "too_many_connections")
    assert int(response.headers["retry-after"]) >= 1 and int(response.headers["retry-after-ms"]) > 0
    kept.pop().socket.close()
    wait_until(lambda: ask(daemon, GOOD).status == 200, what="a place for a connection")
    for w in kept:
        w.socket.close()
