# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 with prior knowledge: many streams on a connection, the limits of HTTP/1.1, hostile frames."""

import json
import shutil
import subprocess
import time

import h2.errors
import hyperframe.frame as frames
import pytest
from conftest import echo_config, wait_until
from h2_client import H2, chat, raw_headers

CALM = h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
LIMITS = """
server:
  listen: ["127.0.0.1:0"]
  admin: "127.0.0.1:0"
  workers: 1
  limits: {%s}
models:
  echo:
    targets: [{engine: {backend: echo%s}}]
"""
SLOW = ", options: {delay_us: 20000}"


def limited(start, limits="", options=""):
    return start(LIMITS % (limits, options))


def tool(*command, **options):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def is_idle(daemon):
    """Nothing runs, and the daemon still answers."""
    wait_until(lambda: daemon.metric("weir_requests_running") == 0, what="an idle daemon")
    client = H2(daemon.connect())
    assert client.ask().json()["choices"][0]["message"]["content"] == "hello"
    client.close()


def test_one_request_and_one_stream(echo):
    client = H2(echo.connect())
    answer = client.ask()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert "x-request-id" in answer.headers
    assert not {"connection", "transfer-encoding"} & set(answer.headers)
    stream = client.ask(chat(stream=True), extra=[("te", "trailers")])
    events = [e[6:] for e in stream.body.split(b"\n\n") if e]
    assert events[-1] == b"[DONE]"
    assert "".join(json.loads(e)["choices"][0]["delta"].get("content", "") for e in events[:-1]) == "hello"
    assert "server-timing" in stream.trailers
    assert client.finish(client.get("/healthz/live"))[0].status == 200
    assert client.finish(client.get("/nothing"))[0].status == 404
    client.close()


def test_streams_run_side_by_side(start):
    daemon = limited(start, options=SLOW)
    client = H2(daemon.connect())
    ids = [client.post(chat(f"stream {i} says something", stream=True, max_tokens=10)) for i in range(100)]
    client.until(lambda: all(client.streams[i].status == 200 for i in ids))
    assert sum(client.streams[i].ended for i in ids) < 100, "they came one after the other"
    assert all(s.body.endswith(b"data: [DONE]\n\n") for s in client.finish(*ids))
    client.close()


def test_curl_and_h2load_are_served(echo, tmp_path):
    body = tmp_path / "body.json"
    body.write_bytes(chat())
    url = f"{echo.url}/v1/chat/completions"
    curl = tool("curl", "-sS", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-o", "/dev/null",
                "-d", f"@{body}", url)
    assert curl.stdout == "2 200", curl.stderr
    upgrade = tool("curl", "-sS", "--http2", "-w", "%{http_version} %{http_code}", "-o", "/dev/null", url, "-d", f"@{body}")
    assert upgrade.stdout == "1.1 200", upgrade.stderr
    load = tool("h2load", "-n", "1000", "-c", "4", "-m", "20", "-d", str(body), url)
    assert "1000 succeeded, 0 failed, 0 errored, 0 timeout" in load.stdout, load.stdout
    assert "1000 2xx" in load.stdout, load.stdout


def test_preface_in_single_bytes(echo):
    sock = echo.connect()
    client = H2.__new__(H2)
    sent = []
    sock_send = sock.sendall

    class Piecewise:
        def sendall(self, data):
            for i in range(len(data)):
                sock_send(data[i : i + 1])
            sent.append(data)

        def __getattr__(self, name):
            return getattr(sock, name)

    client.__init__(Piecewise())
    assert client.ask().status == 200
    client.close()


# --- the limits of HTTP/1.1 -----------------------------------------------------------------------


def test_sizes_are_limited(start):
    daemon = limited(start, "body_bytes: 16Ki, header_bytes: 4Ki, target_bytes: 256, headers: 20")
    client = H2(daemon.connect())

    def error(*arguments, **more):
        answer = client.ask(*arguments, **more)
        return answer.status, answer.json()["error"]["code"]

    assert error(path="/" + "a" * 300) == (414, "target_too_long")
    assert error(extra=[("x-big", "b" * 5000)])[0] == 431
    assert error(extra=[(f"x-{i}", "b") for i in range(30)])[0] == 431
    assert error(extra=[("authorization", "a"), ("authorization", "b")])[0] == 400
    assert error(path="/a%00")[0] == 400
    announced = client.open(extra=[("content-length", "20000")])
    client.flush()
    assert client.finish(announced)[0].status == 413
    unannounced = client.open()
    for _ in range(17):
        client.h2.send_data(unannounced, b"x" * 1024)
    client.flush()
    stream = client.finish(unannounced)[0]
    assert stream.status == 413 and stream.ended
    assert client.ask().status == 200, "other streams of the connection go on"
    client.close()
    is_idle(daemon)


def test_a_huge_header_list_ends_the_connection(start):
    daemon = limited(start, "header_bytes: 4Ki")
    client = H2(daemon.connect())
    frame = frames.HeadersFrame(1)
    encode = client.h2.encoder.encode
    frame.data = encode(client.headers() + [("x-bomb", "b" * 3000)])
    client.send_frames(frame)
    for _ in range(10):  # one byte each: the field is in the table
        more = frames.ContinuationFrame(1)
        more.data = encode([("x-bomb", "b" * 3000)])
        client.send_frames(more)
    assert client.until_closed() in (CALM, None)
    is_idle(daemon)


def test_slow_clients_are_ended(start):
    daemon = limited(start, "header_timeout: 300ms, body_timeout: 300ms, keepalive_timeout: 400ms")
    idle = H2(daemon.connect())
    head = H2(daemon.connect())
    head.until(lambda: head.h2.remote_settings.max_header_list_size)  # else its answer comes between
    head.send_frames(raw_headers(head, 1, head.headers(), end_headers=False))
    assert head.until_closed() == CALM, "a header block that does not end"
    assert idle.until_closed() == 0, "a connection without requests"
    body = H2(daemon.connect())
    stream = body.open()
    body.h2.send_data(stream, b"{")
    body.flush()
    assert body.finish(stream)[0].status == 408
    sock = daemon.connect()
    sock.sendall(b"PRI * HTTP/2.0\r\n")
    sock.settimeout(20)
    assert sock.recv(1) == b"", "half a preface"
    is_idle(daemon)


def test_a_stream_that_is_not_read_waits_and_is_then_ended(start):
    daemon = limited(start, "write_timeout: 1s")
    client = H2(daemon.connect(), window=100, acknowledge=False)
    slow = client.post(chat("word " * 400, stream=True))
    client.until(lambda: len(client.streams[slow].body) == 100)
    other = client.post(chat())  # its answer does not fit 100 bytes either
    client.h2.increment_flow_control_window(10000, other)
    client.flush()
    assert client.finish(other)[0].status == 200, "the slow stream holds up no other"
    assert client.finish(slow)[0].reset == h2.errors.ErrorCodes.CANCEL
    client.close()
    is_idle(daemon)


def test_a_window_that_opens_late_loses_nothing(echo):
    client = H2(echo.connect(), window=1, acknowledge=False)
    text = "word " * 400
    stream = client.post(chat(text, stream=True))
    client.until(lambda: client.streams[stream].status == 200)
    state = client.streams[stream]
    while not state.ended:
        client.h2.increment_flow_control_window(3001, stream)
        client.h2.increment_flow_control_window(3001)
        client.flush()
        client.step()
    events = [json.loads(e[6:]) for e in state.body.split(b"\n\n")[:-2]]
    said = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
    assert said.strip() == text.strip()
    client.close()


def test_no_more_streams_than_said(start):
    config = LIMITS.replace("  limits", "  http2: {max_streams: 4}\n  limits")
    daemon = start(config % ("", ", options: {delay_us: 300000}"))
    client = H2(daemon.connect())
    client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 4)
    for i in range(8):
        client.send_frames(raw_headers(client, 2 * i + 1, client.headers(), end_stream=False))
    assert client.until_closed() is not None
    is_idle(daemon)


def test_http2_can_be_turned_off(start):
    daemon = start(LIMITS.replace("  limits", "  http2: {enabled: false}\n  limits") % ("", ""))
    sock = daemon.connect()
    sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert sock.recv(65536).startswith(b"HTTP/1.1 505 ")


# --- hostile --------------------------------------------------------------------------------------


def test_rapid_reset(start):
    daemon = limited(start)
    client = H2(daemon.connect())
    body = chat()
    for i in range(3000):
        stream = 2 * i + 1
        data = frames.DataFrame(stream, body, flags=["END_STREAM"])
        client.send_frames(raw_headers(client, stream, client.headers(), end_stream=False), data,
                           frames.RstStreamFrame(stream, 8))
        if client.closed:
            break
    assert client.closed or client.until_closed() in (CALM, None)
    is_idle(daemon)
    assert daemon.metric("weir_requests_total") < 1500


def test_provoked_resets_count_too(start):
    daemon = limited(start)
    client = H2(daemon.connect())
    for i in range(3000):
        stream = 2 * i + 1
        client.send_frames(raw_headers(client, stream, client.headers(), end_stream=False),
                           frames.WindowUpdateFrame(stream, 0))
        if client.closed:
            break
    assert client.closed or client.until_closed() is not None
    is_idle(daemon)


@pytest.mark.parametrize("name", ["ping", "settings", "priority", "empty_data", "continuation", "window"])
def test_floods_end_the_connection(start, name):
    daemon = limited(start, options=", options: {delay_us: 1000}")
    client = H2(daemon.connect())
    opened = client.open()
    client.flush()
    first = frames.HeadersFrame(3)
    first.data = client.h2.encoder.encode(client.headers())
    if name == "continuation":
        client.send_frames(first)
    frame = {
        "ping": frames.PingFrame(0, b"12345678"),
        "settings": frames.SettingsFrame(0, {1: 4096}),
        "priority": frames.PriorityFrame(5, depends_on=0, stream_weight=1),
        "empty_data": frames.DataFrame(opened, b""),
        "continuation": frames.ContinuationFrame(3, b""),
        "window": frames.WindowUpdateFrame(0, 1),
    }[name]
    for _ in range(100):
        client.send_frames(*[frame] * 100)
        if client.closed:
            break
    code = client.until_closed()
    assert code in (CALM, h2.errors.ErrorCodes.PROTOCOL_ERROR, None)
    is_idle(daemon)


MALFORMED = {
    "no path": [(":method", "POST"), (":scheme", "http"), (":authority", "a")],
    "two paths": [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":path", "/b")],
    "upper case": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("X-Up", "b")],
    "connection": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("connection", "close")],
    "transfer-encoding": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("transfer-encoding", "chunked")],
    "pseudo behind": [(":method", "POST"), (":scheme", "http"), ("a", "b"), (":path", "/")],
    "line end": [(":method", "POST"), (":scheme", "http"), (":path", "/"), ("a", "b\r\nc: d")],
    "response": [(":status", "200")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_reset(echo, name):
    client = H2(echo.connect())
    client.until(lambda: client.h2.remote_settings.max_concurrent_streams)
    stream = client.open(end=True)  # h2 must know it
    client.h2.data_to_send()
    client.send_frames(raw_headers(client, stream, MALFORMED[name]))
    client.until(lambda: client.closed or client.streams[stream].reset is not None or client.goaway is not None)
    assert client.streams[stream].status is None
    client.close()
    is_idle(echo)


def test_hosts_that_differ_are_refused(echo):
    client = H2(echo.connect())
    assert client.ask(extra=[("host", "a")]).status == 200
    stream = client.open(end=True)
    client.h2.data_to_send()
    client.send_frames(raw_headers(client, stream, client.headers(extra=[("host", "b")])))
    assert client.finish(stream)[0].status == 400
    client.close()


def test_broken_frames(start):
    daemon = limited(start, "header_timeout: 1s")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\0\0\0\4\0\0\0\0\0"
    for junk in (
        b"\xff" * 100,
        settings + b"\x00\x00\x08\x06\x00\x00\x00\x00\x01" + b"p" * 8,  # PING on a stream
        settings + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",  # a frame of 16 MiB
        settings + b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff",  # bad HPACK
        settings + b"\x00\x00\x05\x00\x08\x00\x00\x00\x01\xffaaaa",  # padding beyond the frame
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        sock = daemon.connect()
        sock.sendall(preface + junk)
        while sock.recv(65536):
            pass
        sock.close()
    is_idle(daemon)


# --- the end --------------------------------------------------------------------------------------


def test_a_client_that_leaves_cancels_its_streams(start):
    daemon = limited(start, options=SLOW)
    client = H2(daemon.connect())
    ids = [client.post(chat("word " * 400, stream=True)) for _ in range(5)]
    client.until(lambda: all(client.streams[i].body for i in ids))
    client.h2.reset_stream(ids[0], 8)
    client.flush()
    wait_until(lambda: daemon.metric("weir_requests_running") == 4, what="four streams")
    client.close()
    is_idle(daemon)


def test_drain_cuts_no_stream(start):
    daemon = limited(start, options=SLOW)
    client = H2(daemon.connect())
    ids = [client.post(chat("word " * 40, stream=True)) for _ in range(5)]
    client.until(lambda: all(client.streams[i].body for i in ids))
    daemon.process.terminate()
    client.until(lambda: client.goaway is not None)
    assert client.goaway == 0
    assert all(s.body.endswith(b"data: [DONE]\n\n") for s in client.finish(*ids))
    client.until_closed()
    assert daemon.stop() == 0


def test_an_idle_connection_does_not_hold_up_the_end(start):
    daemon = limited(start)
    client = H2(daemon.connect())
    assert client.ask().status == 200
    began = time.monotonic()
    daemon.process.terminate()
    client.until_closed()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 20
