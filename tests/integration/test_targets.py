# SPDX-License-Identifier: Apache-2.0
"""Models with targets that fail: who waits is answered soon, or served by another target."""

import concurrent.futures
import time

from conftest import wait_until

CHAT = "/v1/chat/completions"
LONG_WAIT_S = 300  # of the queue; whoever is answered because of it fails the test by its code


def config(*targets, size=100):
    lines = "".join(f"      - engine: {{backend: echo, {t}}}\n" for t in targets)
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", workers: 2}}
gateway: {{retries: {{attempts: 0}}, ejection: {{consecutive_errors: 0, success_percent: 0}}, slow_start: 1us}}
models:
  echo:
    queue: {{size: {size}, timeout: {LONG_WAIT_S}s}}
    targets:
{lines}"""


def ask_many(daemon, count, text="x" * 20, **extra):
    body = {"messages": [{"role": "user", "content": text}], **extra}
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: daemon.request(CHAT, body, timeout=LONG_WAIT_S / 2), range(count)))


def codes(answers):
    """How often each status and code came."""
    counts = {}
    for status, headers, body in answers:
        if status == 503:
            assert int(headers["retry-after"]) > 0 and int(headers["retry-after-ms"]) > 0
        what = 200 if status == 200 else (status, body["error"]["code"])
        counts[what] = counts.get(what, 0) + 1
    return counts


def state(daemon, index=0):
    return daemon.request("/admin/v1/models", admin=True)[2][0]["targets"][index]["state"]


def check_nothing_left(daemon):
    def left():
        return [daemon.metric(f"weir_requests_{m}") for m in ("running", "waiting")] + [
            daemon.request("/admin/v1/models", admin=True)[2][0]["queue"]["used"]
        ]

    wait_until(lambda: not any(left()), what=lambda: f"nothing left: {left()}")


def test_those_who_wait_are_answered_when_the_only_target_fails(start):
    daemon = start(config("max_batch: 1, options: {delay_us: 10000, fail_after: 60}"))
    began = time.monotonic()
    counts = codes(ask_many(daemon, 40, "x" * 100))
    assert time.monotonic() - began < LONG_WAIT_S / 2
    assert set(counts) == {(503, "model_failed"), (503, "model_unavailable")}, counts
    assert counts[(503, "model_unavailable")] > 10
    assert daemon.metric("weir_requests_rejected_total", reason="no_target") > 10
    wait_until(lambda: state(daemon) == "ready", what="the model is loaded again")
    assert codes(ask_many(daemon, 1, "y")) == {200: 1}
    check_nothing_left(daemon)


def test_another_target_serves_those_who_wait(start):
    daemon = start(config("max_batch: 1, options: {delay_us: 5000, fail_after: 60}",
                          "max_batch: 1, options: {delay_us: 1000}"))
    counts = codes(ask_many(daemon, 60))
    assert set(counts) <= {200, (503, "model_failed")}, counts
    assert counts[(503, "model_failed")] > 0 and counts[200] >= 20  # it fails anew when loaded anew
    check_nothing_left(daemon)


def test_targets_are_used_by_their_places(start):
    """More requests than one target takes at a time: none is refused, both compute."""
    daemon = start(config("max_batch: 2, options: {delay_us: 2000}",
                          "max_batch: 4, options: {delay_us: 2000}"))
    assert codes(ask_many(daemon, 80)) == {200: 80}
    targets = daemon.request("/admin/v1/models", admin=True)[2][0]["targets"]
    assert all(t["steps"] > 20 for t in targets), targets
    check_nothing_left(daemon)


def test_failures_all_the_time_lose_nobody(start):
    daemon = start(config("max_batch: 3, options: {delay_us: 500, fail_after: 200}",
                          "max_batch: 3, options: {delay_us: 500, fail_after: 333}", size=400))
    counts = {}
    for _ in range(4):
        for what, n in codes(ask_many(daemon, 60, n=2)).items():
            counts[what] = counts.get(what, 0) + n
    allowed = {200, (503, "model_failed"), (503, "model_unavailable"), (503, "model_loading")}
    assert set(counts) <= allowed, counts
    assert sum(counts.values()) == 240 and counts[200] > 20 and counts[(503, "model_failed")] > 0
    check_nothing_left(daemon)
    assert daemon.metric("weir_requests_received_total") == daemon.metric("weir_requests_total") == 240


def test_more_choices_than_places_run_alone(start):
    daemon = start(config("max_batch: 2, options: {delay_us: 500}"))
    counts = codes(ask_many(daemon, 15, n=9))  # more choices than there are places: each runs alone
    assert counts == {200: 15}
    check_nothing_left(daemon)
