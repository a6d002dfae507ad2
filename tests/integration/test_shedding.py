# SPDX-License-Identifier: Apache-2.0
"""Fallbacks, and the ladder of what is left out when too many requests wait."""

import concurrent.futures
import signal
import time

from conftest import wait_until

CHAT = "/v1/chat/completions"


def config(shedding="{}", big="delay_us: 20000", more_models="", fallback="[small]"):
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
shedding: {shedding}
models:
  big:
    queue: {{size: 40, timeout: 60s}}
    targets: [{{engine: {{backend: echo, max_batch: 1, options: {{{big}}}}}}}]
    fallback: {fallback}
  small:
    targets: [{{engine: {{backend: echo, max_batch: 8}}}}]
{more_models}
"""


def chat(daemon, text="hello", model="big", **extra):
    body = {"messages": [{"role": "user", "content": text}], "model": model, **extra}
    return daemon.request(CHAT, body, timeout=120)


def test_a_failed_model_falls_back(start):
    daemon = start(config(big="delay_us: 1000, fail_after: 30"))
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: chat(daemon, "q" * 40), range(12)))
    by_fallback = [a for a in answers if a[1].get("x-weir-model") == "small"]
    for status, headers, body in answers:
        if status == 200:
            assert body["model"] == headers.get("x-weir-model", "big")
        else:
            assert body["error"]["code"] == "model_failed"  # the one that ran when it failed
    assert len(by_fallback) >= 6  # those who waited
    assert all(a[0] == 200 for a in by_fallback)
    assert daemon.metric("weir_requests_running") == 0


def test_a_fallback_must_be_allowed_and_fit(start):
    daemon = start(
        config(big="fail_after: 1", fallback="[tiny, small]", more_models="  tiny:\n    targets: [{engine: {backend: echo, context: 16}}]")
    )
    chat(daemon)  # makes it fail, if it has not yet
    wait_until(lambda: daemon.request("/admin/v1/models", admin=True)[2][0]["targets"][0]["state"] != "ready" or chat(daemon)[0] != 200)
    answers = [chat(daemon, "a prompt that is longer than sixteen tokens") for _ in range(30)]
    served = {a[1].get("x-weir-model") for a in answers if a[0] == 200}
    assert "small" in served and "tiny" not in served


def ladder(*steps, hold="300ms"):
    return f"{{hold: {hold}, interactive_ui: [{', '.join('{' + s + '}' for s in steps)}]}}"


def test_steps_apply_in_turn_and_end_again(start):
    daemon = start(
        config(
            ladder(
                "queue: 0.2, action: max_tokens, max_tokens: 4",
                "queue: 0.4, action: fallback",
                "queue: 0.9, action: reject",
            )
        )
    )

    def level():
        return daemon.metric("weir_shedding_level", model="big", **{"class": "interactive_ui"})

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        first = [pool.submit(chat, daemon, "w" * 30) for _ in range(12)]
        wait_until(lambda: level() == 1, what="the first step")
        answer = pool.submit(chat, daemon, "w" * 30)
        more = [pool.submit(chat, daemon, "w" * 30) for _ in range(10)]
        wait_until(lambda: level() == 2, what="the second step")
        status, headers, body = chat(daemon, "w" * 30)
        assert status == 200 and headers["x-weir-model"] == "small" and body["model"] == "small"
        assert body["usage"]["completion_tokens"] <= 4 and headers["x-weir-degraded"] == "max_tokens"
        status, headers, body = answer.result()
        assert status == 200 and body["usage"]["completion_tokens"] <= 4
        assert headers["x-weir-degraded"] == "max_tokens" and body["choices"][0]["finish_reason"] == "length"
        assert all(f.result()[0] == 200 for f in first + more)
    wait_until(lambda: level() == 0, what="the end of all steps")
    status, headers, body = chat(daemon, "w" * 10)
    assert status == 200 and "x-weir-degraded" not in headers and "x-weir-model" not in headers
    assert daemon.metric("weir_shedding_moves_total", direction="up") >= 2
    assert daemon.metric("weir_shedding_moves_total", direction="down") == 2
    assert daemon.metric("weir_requests_shed_total", action="max_tokens") >= 2
    assert daemon.metric("weir_requests_shed_total", action="fallback") >= 1
    assert "model big, class interactive_ui: step 2" in daemon.log_text()


def test_cached_only_and_reject_answer_at_once(start):
    daemon = start(config(ladder("action: cached_only")))
    wait_until(lambda: daemon.metric("weir_shedding_level", model="big") == 1, what="an unconditional step")
    status, headers, body = chat(daemon)
    assert (status, body["error"]["code"]) == (503, "overloaded") and int(headers["retry-after-ms"]) > 0
    assert chat(daemon, model="small")[0] == 503  # the ladder is the class's, for every model
    daemon.file.write_text(config(ladder("action: reject")))
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in daemon.log_text())
    wait_until(lambda: chat(daemon)[2]["error"]["message"].endswith("now."))
    assert daemon.metric("weir_requests_shed_total", action="reject") >= 1
    daemon.file.write_text(config())
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: chat(daemon)[0] == 200, what="no ladder, no shedding")


def test_rejections_are_quick_while_the_queue_is_full(start):
    daemon = start(config(ladder("queue: 0.8, action: reject")))
    with concurrent.futures.ThreadPoolExecutor(80) as pool:
        running = [pool.submit(chat, daemon, "w" * 30) for _ in range(45)]
        wait_until(lambda: daemon.metric("weir_shedding_level", model="big") == 1, what="reject")
        times = []
        for _ in range(20):
            began = time.monotonic()
            status, _, body = chat(daemon)
            times.append(time.monotonic() - began)
            assert (status, body["error"]["code"]) == (503, "overloaded")
        for f in running:
            assert f.result()[0] in (200, 429, 503)
    assert sorted(times)[10] < 1  # figures are in tests/bench; here: nobody waits for a place


def test_a_unix_socket_is_served_by_all_workers(start, tmp_path):
    import http.client
    import socket

    path = tmp_path / "s"
    daemon = start(
        f"""
server: {{listen: ["127.0.0.1:0", "unix:{path}"], admin: "127.0.0.1:0", workers: 4}}
models: {{echo: {{targets: [{{engine: {{backend: echo}}}}]}}}}
"""
    )

    def ask(_):
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(path))
        connection.request("GET", "/v1/models")
        return connection.getresponse().status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, range(200))) == {200}
    assert daemon.request("/v1/models")[0] == 200
    assert daemon.stop() == 0
    assert not path.exists()
