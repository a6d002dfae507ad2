# SPDX-License-Identifier: Apache-2.0
"""Targets on other servers: what goes out, what comes back, and every way in which it can fail."""

import json
import pathlib
import socket
import sys
import time

import openai
import pytest
from conftest import echo_config, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fault"))
import mock_upstream  # noqa: E402

HELLO = [{"role": "user", "content": "Hello"}]
TIMEOUTS = "timeouts: {connect: 500ms, first_token: 500ms, between_tokens: 500ms, total: 1500ms}"
# Of models whose server answers: a busy machine, or a sanitizer, may take its time for it.
PATIENT = "timeouts: {connect: 10s, first_token: 10s, between_tokens: 10s, total: 10s}"
ENDLESS = ("hang", "keepalive", "endless", "gone")
# What a client may be told, by fault; the others: 502 or 504.
STATUS = {
    "status_429": (429, "rate_limit_exceeded"), "status_429_after": (429, "rate_limit_exceeded"),
    "status_429_after_ms": (429, "rate_limit_exceeded"), "status_503": (503, "upstream_unavailable"),
    "status_503_after": (503, "loading"), "status_400": (400, "invalid_value"),
    "status_500": (502, "upstream_error"), "status_401": (502, "upstream_refused"),
    "status_404": (502, "upstream_refused"), "status_302": (502, "upstream_error"),
    "status_204": (502, "upstream_error"), "hang_before": (504, "upstream_timeout"),
    "reset_before": (502, "upstream_connection_lost"), "close_before": (502, "upstream_connection_lost"),
    "no_http": (502, "upstream_bad_answer"), "giant_field": (502, "upstream_bad_answer"),
    "length_too_long": (502, "upstream_truncated"),
}


def config(url, models, extra="", more=""):
    # What one connection does is looked at here; a second try or an ejected target would hide it.
    lines = ['server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}',
             "gateway: {retries: {attempts: 0}, ejection: {consecutive_errors: 0, success_percent: 0}, slow_start: 1us}",
             "models:"]
    for name in models:
        timeouts = extra or (TIMEOUTS if name.startswith(ENDLESS) else PATIENT)
        lines.append(f"  {name}:\n    targets: [{{upstream: {{url: \"{url}/v1\", {more}}}, {timeouts}}}]")
    return "\n".join(lines) + "\n"


@pytest.fixture
def mock():
    with mock_upstream.Server() as server:
        yield server


@pytest.fixture
def gateway(start, mock):
    return start(config(f"http://127.0.0.1:{mock.port}", mock_upstream.FAULTS))


def chat(daemon, model, stream=False, **more):
    body = {"model": model, "messages": HELLO, **more}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return daemon.request("/v1/chat/completions", body, timeout=20)


def events(text):
    """The data of a well-formed event stream."""
    assert text.endswith("\n\n"), text[-200:]
    blocks = text[:-2].split("\n\n")
    assert all(b.startswith("data: ") and "\n" not in b for b in blocks), text
    return [b[6:] if b == "data: [DONE]" else json.loads(b[6:]) for b in blocks]


def text_of(got):
    return "".join(c["delta"].get("content") or "" for e in got if isinstance(e, dict) for c in e.get("choices", []))


def settled(daemon, mock, n_requests):
    """Nothing is left of the requests: no generation, no connection that nobody knows."""
    wait_until(lambda: daemon.metric("weir_requests_running") == 0, what="no request runs")
    ended = lambda: daemon.metric("weir_upstream_requests_total")  # noqa: E731
    wait_until(lambda: ended() == n_requests, what=lambda: f"{n_requests} ends, not {ended()}")
    wait_until(lambda: daemon.metric("weir_upstream_connections_open") == mock.n_open,
               what=lambda: f"{daemon.metric('weir_upstream_connections_open')} connections, not {mock.n_open}")
    assert daemon.log_text().count("access: POST /v1/chat") == n_requests


@pytest.mark.parametrize("fault", [f.__name__ for f in mock_upstream.GOOD])
def test_a_good_answer_arrives_however_it_is_sent(gateway, mock, fault):
    status, _, body = chat(gateway, fault) if fault not in ("crlf_events", "no_done", "no_usage") else (200, None, None)
    if body:
        assert status == 200 and body["choices"][0]["message"]["content"] == "Hello from the mock."
        assert body["usage"]["prompt_tokens"] == 7 and body["usage"]["completion_tokens"] == 5
    status, _, text = chat(gateway, fault, stream=True)
    got = events(text)
    assert status == 200 and got[-1] == "[DONE]" and text_of(got)
    assert [c["finish_reason"] for e in got[:-1] for c in e["choices"] if c["finish_reason"]] == ["stop"]
    assert got[-2]["usage"]["completion_tokens"] in (2, 5) or fault == "old_http"
    settled(gateway, mock, 2 if body else 1)


@pytest.mark.parametrize("fault", [f.__name__ for f in mock_upstream.BAD])
@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_becomes_a_well_formed_error(gateway, mock, fault, stream):
    began = time.monotonic()
    status, head, body = chat(gateway, fault, stream)
    assert time.monotonic() - began < 15
    if stream and status == 200:
        last = events(body)[-1]
        # Both sides know the total; who looks first says it.
        assert last["error"]["code"].startswith(("upstream_", "total_")), last
        assert "[DONE]" not in body
    else:
        assert status in (400, 429, 502, 503, 504), body
        error = body["error"]
        assert error["message"] and error["code"]
        assert "secret" not in error["message"] and "sk-123" not in error["message"]
        if fault in STATUS:
            assert (status, error["code"]) == STATUS[fault] or (not stream and fault.startswith("hang"))
    if status in (429, 503):
        wanted = {"status_429_after": "7", "status_429_after_ms": "2", "status_503_after": "3"}.get(fault, "1")
        assert head["retry-after"] == wanted
    settled(gateway, mock, 1)


def test_after_all_faults_the_target_still_works(gateway, mock):
    for fault in [f.__name__ for f in mock_upstream.BAD if not f.__name__.startswith(ENDLESS)]:
        chat(gateway, fault, stream=True)
    assert chat(gateway, "ok")[0] == 200


def test_the_request_is_written_anew(start, mock, tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-upstream\n")
    daemon = start(config(f"http://127.0.0.1:{mock.port}", ["mine"], more=f'model: ok, api_key_file: "{key}",'))
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    status, _, _ = daemon.request(
        "/v1/chat/completions",
        {"model": "mine", "messages": HELLO, "temperature": 0.5, "top_p": 1, "seed": 9, "stop": ["a", "b"],
         "max_completion_tokens": 33, "tools": [tool], "tool_choice": "auto", "user": "eve", "n": 1,
         "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
         "logit_bias": {"5": -1}, "metadata": {"secret": "stays here"}},
        headers={"Authorization": "Bearer sk-client", "Cookie": "a=b", "x-request-id": "req-1",
                 "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
    assert status == 200
    head, body = mock.last
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\r\n") and f"Host: 127.0.0.1:{mock.port}\r\n" in head
    assert "Authorization: Bearer sk-upstream\r\n" in head and "sk-client" not in head and "ookie" not in head
    assert "x-request-id: req-1\r\n" in head and "0af7651916cd43dd8448eb211c80319c" in head
    assert body == {
        "model": "ok", "messages": HELLO, "temperature": 0.5, "top_p": 1, "seed": 9, "stop": ["a", "b"],
        "max_tokens": 33,
        "tools": [tool], "user": "eve", "logit_bias": {"5": -1},
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}}
    daemon.request("/v1/chat/completions", {"model": "mine", "messages": HELLO, "stream": True})
    assert mock.last[1] == {"model": "ok", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}


def test_what_a_request_leaves_out_is_drawn_as_the_model_says(start, mock):
    """Its own sampling stands where the request is silent; what a client says goes out, the API's defaults too."""
    own = "    sampling: {temperature: 0.25, top_p: 0.875, top_k: 40, frequency_penalty: 0.5}\n"
    daemon = start(config(f"http://127.0.0.1:{mock.port}", ["ok"]) + own)

    def sent(**more):
        assert chat(daemon, "ok", **more)[0] == 200
        return {k: v for k, v in mock.last[1].items() if k not in ("model", "messages", "max_tokens")}

    assert sent() == {"temperature": 0.25, "top_p": 0.875, "top_k": 40, "frequency_penalty": 0.5}
    assert sent(temperature=1, top_k=0, min_p=0.125) == {
        "temperature": 1, "top_p": 0.875, "top_k": 0, "min_p": 0.125, "frequency_penalty": 0.5}
    assert sent(temperature=None)["temperature"] == 0.25


def test_the_openai_client_works_through_it(gateway):
    client = openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0)
    assert client.chat.completions.create(model="ok", messages=HELLO).choices[0].message.content == "Hello from the mock."
    got = [c.choices[0].delta.content for c in client.chat.completions.create(model="ok", messages=HELLO, stream=True)]
    assert "".join(t or "" for t in got) == "Hello from the mock."
    calls = client.chat.completions.create(model="tool_calls", messages=HELLO).choices[0]
    assert calls.finish_reason == "tool_calls"
    assert calls.message.tool_calls[0].function.arguments == '{"a": 1}' and calls.message.tool_calls[0].id == "call_1"
    stream = client.chat.completions.create(model="tool_calls", messages=HELLO, stream=True)
    pieces = [t for c in stream for t in (c.choices[0].delta.tool_calls or [])]
    assert pieces[0].function.name == "f" and "".join(p.function.arguments or "" for p in pieces) == '{"a": 1}'
    for stream in (False, True):
        answer = client.chat.completions.create(model="logprobs", messages=HELLO, logprobs=True, top_logprobs=2, stream=stream)
        if stream:
            entry = next(c.choices[0].logprobs.content[0] for c in answer if c.choices[0].logprobs)
        else:
            entry = answer.choices[0].logprobs.content[0]
        assert entry.token == "Hi" and entry.logprob == -0.25 and [t.token for t in entry.top_logprobs] == ["Hi", "Yo"]
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="status_429", messages=HELLO)


def test_a_second_weir_is_an_upstream(start):
    behind = start(echo_config())
    front = start(config(behind.url, ["up"], more="model: echo,"))
    assert chat(front, "up")[2]["choices"][0]["message"]["content"] == "Hello"
    assert text_of(events(chat(front, "up", stream=True)[2])) == "Hello"
    status, _, body = front.request("/v1/completions", {"model": "up", "prompt": "abcdef", "max_tokens": 3, "n": 2})
    assert status == 200 and [c["text"] for c in body["choices"]] == ["abc", "abc"]
    status, _, body = chat(front, "up", max_tokens=1 << 30)
    assert status == 400 and body["error"]["code"] == "context_length_exceeded"


def test_connections_are_kept_and_used_again(gateway, mock):
    for _ in range(20):
        assert chat(gateway, "ok")[0] == 200
    n_workers = int(gateway.log_text().split("with ")[1].split(" worker")[0])
    assert mock.n_connections <= n_workers
    assert gateway.metric("weir_upstream_connections_total") == mock.n_connections


def test_a_kept_connection_that_was_closed_costs_no_request(gateway, mock):
    for _ in range(30):
        assert chat(gateway, "closes_after")[0] == 200
        assert chat(gateway, "ok")[0] == 200


def test_a_client_that_leaves_ends_the_upstream_request(gateway, mock):
    with gateway.connect() as s:
        body = json.dumps({"model": "endless_stream", "messages": HELLO, "stream": True})
        s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        assert b"more" in s.recv(65536) + s.recv(65536)
        assert mock.n_open == 1
    wait_until(lambda: mock.n_open == 0, timeout=1.4, what="the upstream connection ends at once")
    wait_until(lambda: gateway.metric("weir_upstream_requests_total", result="cancelled") == 1, what="cancelled")


def test_a_slow_client_slows_its_upstream(start, mock):
    daemon = start(config(f"http://127.0.0.1:{mock.port}", ["long_stream"],
                          "timeouts: {between_tokens: 500ms, total: 60s}"))
    with daemon.connect() as s:
        body = json.dumps({"model": "long_stream", "messages": HELLO, "stream": True})
        s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        seen = []

        def stopped():
            seen.append(mock.n_long_bytes)
            return len(seen) > 25 and seen[-1] == seen[-20]

        wait_until(stopped, what=lambda: f"the upstream stops: {seen[-3:]}")
        assert mock.n_long_bytes < 64 << 20
        time.sleep(1)  # longer than between_tokens: it is the client that is slow
        before = mock.n_long_bytes
        for _ in range(200):
            assert s.recv(65536)
        wait_until(lambda: mock.n_long_bytes > before, what="the upstream goes on")
    wait_until(lambda: mock.n_open == 0, what="the connection ends")


def test_nobody_there(start):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))  # bound, not listening: refused
        daemon = start(config(f"http://127.0.0.1:{s.getsockname()[1]}", ["gone"]))
        for stream in (False, True):
            status, head, body = chat(daemon, "gone", stream)
            assert status == 503 and body["error"]["code"] == "upstream_unreachable" and head["retry-after"]
        assert daemon.metric("weir_upstream_errors_total", kind="connect") == 2


def test_a_name_that_is_not_known(start):
    daemon = start(config("http://no-such-host.invalid:80", ["gone"], "timeouts: {connect: 10s, total: 20s}"))
    status, _, body = chat(daemon, "gone")
    assert status == 503 and "cannot be found" in body["error"]["message"]


def test_a_name_is_looked_up(start, mock):
    daemon = start(config(f"http://localhost:{mock.port}", ["ok"]))
    assert chat(daemon, "ok")[0] == 200


def test_an_upstream_that_comes_back_is_used_again(start):
    with mock_upstream.Server() as first:
        port = first.port
        daemon = start(config(f"http://127.0.0.1:{port}", ["ok"]))
        assert chat(daemon, "ok")[0] == 200
    # The old one's kept connections may live on in its thread; they end with the process' sockets.
    with mock_upstream.Server(port=port):
        wait_until(lambda: chat(daemon, "ok")[0] == 200, what="it works again")
