# SPDX-License-Identifier: Apache-2.0
"""Limits and budgets over three daemons that share one real Redis."""

import collections
import http.client
import json
import signal
import threading
import time

import pytest

from conftest import Daemon, echo_config, wait_until
from test_store import redis  # noqa: F401 (a fixture)

CHAT = "/v1/chat/completions"


def config(redis, *plugins, options=""):  # noqa: F811
    entries = "\n".join(f"  - {p}" for p in plugins)
    store = f'store: {{driver: redis, url: "redis+unix://{redis.socket}", timeout: 500ms}}\n'
    return store + echo_config(f"plugins:\n{entries}\n", options)


def body(text="hello", **extra):
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **extra}


class Load:
    """Asks daemons from many connections until told to stop; counts what they answer."""

    def __init__(self, daemons, connections, request, limit=None):
        self.statuses, self.codes = collections.Counter(), collections.Counter()
        self.last_admitted = self.begin = time.monotonic()
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.left = limit
        self.payload = json.dumps(request)
        self.threads = [
            threading.Thread(target=self.run, args=(d,)) for d in daemons for _ in range(connections)
        ]
        for thread in self.threads:
            thread.start()

    def take(self):
        with self.lock:
            if self.left is not None:
                self.left -= 1
                return self.left >= 0
            return not self.stopped.is_set()

    def run(self, daemon):
        host, port = daemon.address.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        while self.take():
            connection.request("POST", CHAT, self.payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            with self.lock:
                self.statuses[response.status] += 1
                if response.status == 200:
                    self.last_admitted = time.monotonic()
                else:
                    self.codes[json.loads(text)["error"]["code"]] += 1
        connection.close()

    def end(self, after=0):
        time.sleep(after)
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        return self


@pytest.mark.parametrize(
    "limits, per_second, burst",
    [
        ("tenant: {requests_per_second: {limit: 100, burst: 400}}", 100, 400),  # leased
        ("tenant: {requests_per_second: {limit: 20, burst: 60}}", 20, 60),  # exact
        ("global: {requests_per_second: {limit: 90, burst: 300}}, "
         "tenant: {requests_per_minute: 60000}, user: {tokens_per_minute: 60000000}", 90, 300),
    ],
)
def test_a_burst_never_exceeds_the_limit_and_uses_it(start, redis, limits, per_second, burst):  # noqa: F811
    redis.start()
    text = config(redis, f"ratelimit: {{limits: {{{limits}}}}}")
    daemons = [start(text) for _ in range(3)]
    load = Load(daemons, 6, body(max_tokens=1)).end(after=6)
    admitted = load.statuses[200]
    elapsed = load.last_admitted - load.begin
    assert load.statuses[429] > 0 and set(load.statuses) == {200, 429}, load.statuses
    assert admitted <= burst + per_second * elapsed + 1, (admitted, elapsed)
    assert admitted >= 0.97 * (burst + per_second * 6), (admitted, load.statuses)


def test_a_hundred_requests_on_a_budget_of_ten(start, redis):  # noqa: F811
    redis.start()
    text = "x" * 60
    free = start(echo_config())
    usage = free.request(CHAT, body(text, max_tokens=20))[2]["usage"]
    worth = usage["prompt_tokens"] + usage["completion_tokens"]
    quota = f"quota: {{budgets: {{tenant: {{tokens_per_month: {10 * worth}}}}}}}"
    daemons = [start(config(redis, quota, options=", options: {delay_us: 1000}")) for _ in range(3)]
    load = Load(daemons, 34, body(text, max_tokens=20), limit=100).end()
    assert load.statuses == {200: 10, 429: 90}
    assert load.codes == {"insufficient_quota": 90}


def test_the_places_of_a_killed_replica_come_back(start, binary, tmp_path, redis):  # noqa: F811
    redis.start()
    text = config(
        redis, "ratelimit: {limits: {tenant: {concurrent: 4}}, concurrent_ttl: 3s}",
        options=", options: {delay_us: 100000}",
    )
    other = start(text)
    (tmp_path / "doomed").mkdir()
    doomed = Daemon(binary, tmp_path / "doomed", text)
    sockets = []
    long_request = json.dumps(body("x" * 400, max_tokens=300, stream=True)).encode()
    for _ in range(3):
        s = doomed.connect()
        s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                  % (CHAT.encode(), len(long_request), long_request))
        assert b"200 OK" in s.recv(15)
        sockets.append(s)
    time.sleep(4)  # longer than the ttl: a replica that lives keeps its places
    load = Load([other], 4, body(max_tokens=2), limit=4).end()
    assert load.statuses[200] >= 1 and load.statuses[429] >= 1
    doomed.process.send_signal(signal.SIGKILL)
    doomed.process.wait()
    doomed.log.close()
    begin = time.monotonic()
    wait_until(
        lambda: Load([other], 4, body("x" * 20, max_tokens=10), limit=4).end().statuses == {200: 4},
        what="four places",
    )
    assert time.monotonic() - begin < 15
    for s in sockets:
        s.close()


def ask(daemon):
    status, head, answer = daemon.request(CHAT, body(max_tokens=1), timeout=20)
    return status, head, answer.get("error", {}).get("code")


@pytest.mark.parametrize("how", ["hung", "gone"])
def test_a_lost_store_denies_and_is_found_again(start, redis, how):  # noqa: F811
    redis.start()
    daemon = start(config(redis, "ratelimit: {limits: {tenant: {requests_per_minute: 60}}}",
                          "quota: {budgets: {tenant: {requests_per_day: 1000}}}"))
    assert ask(daemon)[0] == 200
    if how == "hung":
        redis.process.send_signal(signal.SIGSTOP)
    else:
        redis.kill()
    for _ in range(20):
        status, head, code = ask(daemon)
        assert status == 503 and code == "rate_limit_unavailable" and head["retry-after"] == "1"
    wait_until(lambda: daemon.metric("weir_ratelimit_store_lost") == 1, what="the metric")
    assert "requests are refused until it is back" in daemon.log_text()
    if how == "hung":
        redis.process.send_signal(signal.SIGCONT)
    else:
        redis.start()
    wait_until(lambda: ask(daemon)[0] == 200, what="the store")
    wait_until(lambda: daemon.metric("weir_ratelimit_store_lost") == 0, what="the metric")


def test_a_lost_store_with_allow_and_local(start, redis):  # noqa: F811
    redis.start()
    daemon = start(config(
        redis,
        "ratelimit: {limits: {tenant: {requests_per_hour: 30}}, on_store_loss: local, replicas: 3}",
        "quota: {budgets: {tenant: {requests_per_day: 1000}}, on_store_loss: allow}",
    ))
    redis.kill()
    load = Load([daemon], 8, body(max_tokens=1), limit=60).end()
    assert load.statuses == {200: 10, 429: 50}
    wait_until(
        lambda: daemon.metric("weir_ratelimit_decisions_without_store_total", mode="local") == 10
        and daemon.metric("weir_quota_decisions_without_store_total", mode="allow") == 10,
        what="metrics",
    )
    redis.start()
    # What passed meanwhile is counted when the store is back.
    keys = lambda: redis.command("--scan", "--pattern", "*quota/tenant*requests*").stdout  # noqa: E731
    wait_until(lambda: daemon.metric("weir_quota_settlements_pending") == 0 and keys(), what="the count")


def test_a_flushed_store_is_used_on(start, redis):  # noqa: F811
    redis.start()
    daemon = start(config(redis, "ratelimit: {limits: {tenant: {requests_per_hour: 5}}}"))
    assert Load([daemon], 4, body(max_tokens=1), limit=12).end().statuses == {200: 5, 429: 7}
    redis.command("flushall")
    redis.command("script", "flush")
    # The limit begins anew, and holds.
    wait_until(lambda: ask(daemon)[0] == 200, what="the store")
    assert Load([daemon], 4, body(max_tokens=1), limit=12).end().statuses == {200: 4, 429: 8}


def test_most_requests_of_a_hot_key_make_no_call(start, redis):  # noqa: F811
    redis.start()
    daemon = start(config(redis, "ratelimit: {limits: {tenant: {requests_per_minute: 6000000}}}"))
    load = Load([daemon], 8, body(max_tokens=1)).end(after=4)
    assert set(load.statuses) == {200}
    time.sleep(1.1)
    calls = daemon.metric("weir_ratelimit_store_calls_total")
    assert calls < 0.2 * load.statuses[200], (calls, load.statuses)
