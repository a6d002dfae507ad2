# SPDX-License-Identifier: Apache-2.0
"""A second attempt beside one that is late: one answer, one bill, and nothing left behind."""

import collections
import concurrent.futures
import json

import pytest

import billing
from conftest import wait_until
from test_upstream import HELLO, events, mock_upstream, text_of


@pytest.fixture
def mocks():
    with mock_upstream.Server() as a, mock_upstream.Server() as b:
        yield a, b


def config(mocks, first, second, hedge="hedge_after: 200ms, ", retries="attempts: 0", more="", target=""):
    targets = "".join(f"      - {{upstream: {{url: 'http://127.0.0.1:{m.port}/v1', model: {model}{target}}}}}\n"
                      for m, model in zip(mocks, (first, second)))
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
gateway: {{{hedge}retries: {{{retries}}}, ejection: {{consecutive_errors: 0, success_percent: 0}}, slow_start: 1us}}
models:
  m:
    targets:
{targets}{more}"""


def ask(daemon, mocks, stream=True):
    """The first of these mocks is asked first; without any, whoever."""
    wanted = ",".join(f"127.0.0.1:{m.port}" for m in mocks)
    body = {"model": "m", "messages": HELLO, "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    return daemon.request("/v1/chat/completions", body, {"x-gateway-destination-endpoint": wanted}, timeout=30)


def tried(daemon, reason, target=None):
    return daemon.metric("weir_target_retries_total", reason=reason, **({"target": target} if target else {}))


def settled(daemon, mocks, n):
    wait_until(lambda: daemon.metric("weir_requests_running") == 0
               and daemon.metric("weir_target_places_used") == 0, what="no request runs")
    wait_until(lambda: daemon.metric("weir_upstream_connections_open") == sum(m.n_open for m in mocks),
               what="no connection is lost")
    wait_until(lambda: daemon.log_text().count("access: POST /v1/chat") == n, what="one end for each request")


def good(answer):
    status, _, text = answer
    got = events(text)
    assert status == 200 and got[-1] == "[DONE]" and text_of(got) == "Hello from the mock."
    assert [c["finish_reason"] for e in got[:-1] for c in e["choices"] if c["finish_reason"]] == ["stop"]
    assert got[-2]["usage"]["completion_tokens"] == 5
    return True


def test_who_is_late_is_overtaken_and_cancelled(start, mocks):
    daemon = start(config(mocks, "hang_before", "ok"))
    assert good(ask(daemon, mocks))
    assert (tried(daemon, "hedge", "m/0"), tried(daemon, "hedge_won", "m/1")) == (1, 1)
    wait_until(lambda: mocks[0].n_open == 0, what="the first one's connection ends")
    settled(daemon, mocks, 1)
    assert "target=m/1" in daemon.log_text()
    assert daemon.metric("weir_target_requests_total", target="m/0") == 0  # late is not bad
    assert daemon.metric("weir_target_requests_total", target="m/1", result="good") == 1


@pytest.mark.parametrize("length", [10, 40_000])
def test_an_engine_of_this_process_overtakes_an_upstream(start, mocks, length):
    """A long prompt is prepared on the pool."""
    daemon = start(config(mocks[:1], "hang_before", "", more="      - {engine: {backend: echo, context: 100000}}\n"))
    word = "engine " * (length // 7)
    for n in range(1, 7):  # either may come first
        body = {"model": "m", "messages": [{"role": "user", "content": word}], "stream": True, "max_tokens": 3}
        status, _, text = daemon.request("/v1/chat/completions", body, timeout=30)
        got = events(text)
        assert status == 200 and got[-1] == "[DONE]" and text_of(got), text
        settled(daemon, mocks[:1], n)
    assert tried(daemon, "hedge", "m/0") >= 1
    assert tried(daemon, "hedge_won", "m/1") == tried(daemon, "hedge", "m/0")
    assert daemon.metric("weir_target_requests_total", target="m/1", result="good") == 6
    assert mocks[0].n_open == 0


def test_a_client_that_leaves_while_an_engine_runs_for_it_ends_both(start, mocks):
    engine = "      - {engine: {backend: echo, options: {delay_us: 100000}}}\n"
    daemon = start(config(mocks[:1], "hang_before", "", more=engine, hedge="hedge_after: 20ms, "))
    body = json.dumps({"model": "m", "messages": HELLO, "stream": True})
    for n in range(4):
        sock = daemon.connect()
        sock.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        wait_until(lambda: daemon.metric("weir_requests_running") == 1, what="it runs")
        if n % 2:
            sock.recv(100)
        sock.close()
        settled(daemon, mocks[:1], n + 1)


def test_the_first_may_still_win(start, mocks):
    mocks[0].delay = 0.6
    daemon = start(config(mocks, "late", "hang_before"))
    assert good(ask(daemon, mocks))
    assert (tried(daemon, "hedge"), tried(daemon, "hedge_won")) == (1, 0)
    wait_until(lambda: mocks[1].n_requests == 1 and mocks[1].n_open == 0, what="the second one's connection ends")
    settled(daemon, mocks, 1)
    assert "target=m/0" in daemon.log_text()


def test_who_is_taken_at_first_overtakes_when_a_place_is_free(start, mocks):
    mocks[1].delay = 1.5
    daemon = start(config(mocks, "hang_before", "late", target=", pool: {requests: 1}"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        before = pool.submit(ask, daemon, mocks[1:])
        wait_until(lambda: mocks[1].n_requests == 1, what="the second target is taken")
        late = pool.submit(ask, daemon, [])  # the first has the only place
        assert good(before.result()) and good(late.result())
    assert tried(daemon, "hedge_won", "m/1") == 1
    settled(daemon, mocks, 2)


def test_in_time_there_is_none(start, mocks):
    daemon = start(config(mocks, "ok", "ok", hedge="hedge_after: 20s, "))
    assert all(good(ask(daemon, mocks)) for _ in range(5))
    assert tried(daemon, "hedge") == 0 and mocks[1].n_requests == 0
    settled(daemon, mocks, 5)


@pytest.mark.parametrize("first", ["late_reset", "late_500", "late_429"])
def test_when_the_first_fails_the_second_goes_on(start, mocks, first):
    mocks[0].delay, mocks[1].delay = 0.5, 1
    daemon = start(config(mocks, first, "late"))
    assert good(ask(daemon, mocks))
    assert tried(daemon, "hedge") == 1 and tried(daemon, "failure") == 0
    settled(daemon, mocks, 1)
    bad = 0 if first == "late_429" else 1
    assert daemon.metric("weir_target_requests_total", target="m/0", result="bad") == bad


@pytest.mark.parametrize("second", ["reset_before", "status_500", "no_http", "status_400"])
def test_when_the_second_fails_the_first_goes_on(start, mocks, second):
    mocks[0].delay = 0.8
    daemon = start(config(mocks, "late", second))
    assert good(ask(daemon, mocks))
    assert (tried(daemon, "hedge"), tried(daemon, "hedge_won")) == (1, 0)
    settled(daemon, mocks, 1)


def test_when_both_fail_there_is_one_error_or_a_retry(start, mocks):
    mocks[0].delay = mocks[1].delay = 0.5
    daemon = start(config(mocks, "late_500", "late_reset"))
    status, _, body = ask(daemon, mocks)
    assert status == 502 and body["error"]["code"] in ("upstream_error", "upstream_connection_lost")
    settled(daemon, mocks, 1)
    again = start(config(mocks, "late_500", "late_reset", retries="attempts: 1"))
    assert ask(again, [])[0] == 502
    assert tried(again, "failure") == 1 and tried(again, "hedge") == 1  # one for each request
    settled(again, mocks, 1)


def test_a_first_token_timeout_is_taken_over(start, mocks):
    """After 2 s the first one's time is over; the second's, begun at 1 s, is not."""
    mocks[1].delay = 1.5
    more = "timeouts: {first_token: 2s}\n"
    daemon = start(config(mocks, "hang_before", "late_word", hedge="hedge_after: 1s, ", more=more))
    assert good(ask(daemon, mocks))
    settled(daemon, mocks, 1)


def test_a_client_that_leaves_ends_both(start, mocks):
    daemon = start(config(mocks, "hang_before", "hang_head"))
    sock = daemon.connect()
    body = json.dumps({"model": "m", "messages": HELLO, "stream": True})
    sock.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    wait_until(lambda: mocks[0].n_requests == 1 and mocks[1].n_requests == 1, what="two attempts")
    sock.close()
    wait_until(lambda: mocks[0].n_open == 0 and mocks[1].n_open == 0, what="both connections end")
    settled(daemon, mocks, 1)
    assert " 499 " in daemon.log_text()


def test_the_retry_budget_holds(start, mocks):
    mocks[0].delay = 0.5
    daemon = start(config(mocks, "late", "ok", retries="attempts: 0, budget_percent: 0"))
    assert good(ask(daemon, mocks))
    assert (tried(daemon, "hedge"), tried(daemon, "no_budget")) == (0, 1) and mocks[1].n_requests == 0
    settled(daemon, mocks, 1)


@pytest.mark.parametrize("hedge, stream", [("", True), ("hedge_after: 0s, ", True), ("hedge_after: 100ms, ", False)])
def test_where_it_is_off_or_says_nothing_there_is_none(start, mocks, hedge, stream):
    mocks[0].delay = 0.5
    daemon = start(config(mocks, "late", "ok", hedge=hedge))
    assert ask(daemon, mocks, stream)[0] == 200
    assert tried(daemon, "hedge") == 0 and mocks[1].n_requests == 0


def test_a_full_target_takes_none(start, mocks):
    mocks[0].delay = mocks[1].delay = 1.5
    daemon = start(config(mocks, "late", "late", target=", pool: {requests: 1}"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        assert all(good(a) for a in pool.map(lambda one: ask(daemon, one), [mocks, mocks[::-1]]))
    assert tried(daemon, "hedge") == 0
    settled(daemon, mocks, 2)


def test_it_is_billed_once(start, mocks, tmp_path):
    daemon = start(config(mocks, "hang_before", "ok", more=f"plugins:\n  {billing.plugin(tmp_path)}\n"))
    assert all(good(ask(daemon, mocks)) for _ in range(3))
    settled(daemon, mocks, 3)
    wait_until(lambda: len(billing.ledger(daemon)) == 3, what=lambda: f"three entries: {billing.ledger(daemon)}")
    assert [(e["type"], e["delivered_tokens"]) for e in billing.ledger(daemon)] == [("usage", 5)] * 3
    wait_until(lambda: daemon.metric("weir_billing_open") == 0, what="no open bill")


def test_a_storm_leaves_nothing_behind(start, mocks):
    daemon = start(config(mocks, "late", "late", hedge="hedge_after: 10ms, ",
                          retries="attempts: 2, budget_percent: 100"))
    mocks[0].delay = mocks[1].delay = 0.03
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = collections.Counter(
            a[0] for a in pool.map(lambda i: ask(daemon, mocks if i % 2 else mocks[::-1]), range(300)))
    assert statuses == {200: 300}
    assert tried(daemon, "hedge") > 50
    settled(daemon, mocks, 300)
