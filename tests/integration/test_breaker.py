# SPDX-License-Identifier: Apache-2.0
"""The circuit breaker over real upstream servers, a real Redis and several daemons."""

import time

import pytest

from conftest import wait_until
from test_store import redis  # noqa: F401 (a fixture)
from test_upstream_health import ask, ask_many, gateway, states, upstream  # noqa: F401 (a fixture)

# Ejection and retries are other tests' business.
ALONE = "gateway: {ejection: {consecutive_errors: 0, success_percent: 0}, retries: {attempts: 0}, slow_start: 1ms}\n"


def breaker(options):
    return f"{ALONE}plugins:\n  - breaker: {{{options}}}\n"


def with_store(redis):  # noqa: F811
    return f'store: {{driver: redis, url: "redis+unix://{redis.socket}", timeout: 500ms}}\n'


def circuit(daemon, target="echo/0"):
    return {0: "closed", 1: "open", 2: "half_open"}[daemon.metric("weir_breaker_state", dependency=target)]


def entered(daemon, to, target="echo/0"):
    return daemon.metric("weir_breaker_transitions_total", dependency=target, to=to)


def wait_for(daemon, *wanted, target="echo/0"):
    wait_until(lambda: circuit(daemon, target) in wanted, what=lambda: f"{wanted}\n{daemon.log_text()}")


def test_failures_open_it_and_a_trial_closes_it(start, upstream):  # noqa: F811
    a = upstream()
    daemon = start(gateway([a.port], breaker("failure_threshold: 3, open_time: 500ms, half_open_requests: 2")))
    assert ask(daemon)[0] == 200
    a.status = 500
    assert [ask(daemon)[0] for _ in range(3)] == [502] * 3
    status, headers, body = ask(daemon)
    assert (status, body["error"]["code"]) == (503, "model_unavailable") and headers["retry-after"]
    assert a.chats == 4  # the last one was not sent
    wait_for(daemon, "open", "half_open")
    assert states(daemon) == ["open"]

    # The first trial fails: nothing but it was sent.
    wait_until(lambda: a.chats == 5 or ask(daemon)[0] is None, what="the trial")
    wait_until(lambda: entered(daemon, "open") == 2, what=daemon.log_text)
    a.status = 200
    wait_until(lambda: ask(daemon)[0] == 200, what=daemon.log_text)
    wait_until(lambda: ask(daemon)[0] == 200 and circuit(daemon) == "closed", what=daemon.log_text)
    log = daemon.log_text()
    for words in ("circuit open (too many failures)", "circuit half_open (its time is over)",
                  "circuit open (the trial failed)", "circuit closed (the trial went well)"):
        assert f"echo/0: {words}" in log
    assert ask_many(daemon, 20) == {200: 20}


def test_a_request_of_the_trial_is_all_that_a_sick_target_gets(start, upstream):  # noqa: F811
    a, b = upstream(), upstream()
    daemon = start(gateway([a.port, b.port], breaker("failure_threshold: 3, open_time: 300ms, half_open_requests: 1")))
    a.status = 500
    wait_until(lambda: ask(daemon)[0] is not None and circuit(daemon) == "open", what=daemon.log_text)
    before = a.chats
    end = time.monotonic() + 2
    counts = {}
    while time.monotonic() < end:
        for status, n in ask_many(daemon, 20).items():
            counts[status] = counts.get(status, 0) + n
    wait_until(lambda: entered(daemon, "open") >= 3, what=daemon.log_text)  # it was tried, in vain
    assert counts[200] > 20
    # After 0.3, 0.6, 1.2 s, a request each; whoever ran them had the error.
    assert counts.get(502, 0) == a.chats - before <= 3
    assert set(counts) <= {200, 502}


def test_a_rate_of_failures_opens_it(start, upstream):  # noqa: F811
    a, b = upstream(), upstream()
    options = "failure_threshold: 1000, failure_percent: 40, min_requests: 10, window: 1m, open_time: 1m"
    daemon = start(gateway([a.port, b.port], breaker(options)))
    for _ in range(80):  # which of the two is asked is drawn
        a.status = 500 if a.chats % 2 else 200
        ask(daemon)
        if circuit(daemon) == "open":
            break
    wait_for(daemon, "open")
    assert ask_many(daemon, 20) == {200: 20}


def test_the_cap_leaves_targets(start, upstream):  # noqa: F811
    ups = [upstream() for _ in range(4)]
    for u in ups:
        u.status = 500
    daemon = start(gateway([u.port for u in ups], breaker("failure_threshold: 2, open_time: 1m, max_open_percent: 50")))
    assert ask_many(daemon, 60)[502] == 60  # somebody is asked, always
    wait_until(lambda: daemon.metric("weir_breaker_capped_total") > 0, what=daemon.log_text)
    assert states(daemon).count("open") == 2
    for u in ups:
        u.status = 200
    assert ask_many(daemon, 20) == {200: 20}


def test_what_is_the_clients_fault_opens_nothing(start, upstream):  # noqa: F811
    a = upstream()
    daemon = start(gateway([a.port], breaker("failure_threshold: 2")))
    for status in (400, 429):
        a.status = status
        assert ask_many(daemon, 10, at_a_time=1) == {status: 10}
    a.status = 200
    assert ask(daemon)[0] == 200
    assert entered(daemon, "open") == 0


def test_replicas_share_what_they_know(start, upstream, redis):  # noqa: F811
    redis.start()
    a, b = upstream(), upstream()
    text = with_store(redis) + gateway([a.port, b.port], breaker("failure_threshold: 3, open_time: 1s, half_open_requests: 2"))
    one, two = start(text), start(text)
    assert ask(two)[0] == 200
    a.status = 500
    wait_until(lambda: ask(one)[0] is not None and circuit(one) == "open", what=one.log_text)
    wait_for(two, "open", "half_open")
    assert "another replica's word" in two.log_text()
    assert ask_many(two, 10) == {200: 10}  # it never met the error

    three = start(text)  # comes later, and knows it as well
    wait_for(three, "open", "half_open")

    # One replica at a time tries it, however many there are. On a slow machine it was tried above, too.
    def trials():
        return sum(d.metric("weir_breaker_trials_total") for d in (one, two, three))

    a.status, before, tried = 200, a.chats, trials()
    wait_for(two, "half_open")
    wait_until(lambda: [ask(d)[0] for d in (one, two, three)] == [200] * 3
               and all(circuit(d) == "closed" for d in (one, two, three)), what=one.log_text)
    assert a.chats > before
    assert trials() == tried + 1
    assert redis.command("--scan", "--pattern", "*circuit/echo*").stdout.count("trial") <= 1


def test_without_the_store_each_goes_by_what_it_sees(start, upstream, redis):  # noqa: F811
    redis.start()
    a, b = upstream(), upstream()
    text = with_store(redis) + gateway([a.port, b.port], breaker("failure_threshold: 3, open_time: 1s, half_open_requests: 1"))
    one, two = start(text), start(text)
    redis.kill()
    wait_until(lambda: one.metric("weir_store_breaker_state") in (1, 2), what=one.log_text)
    a.status = 500
    wait_until(lambda: ask(one)[0] is not None and circuit(one) in ("open", "half_open"), what=one.log_text)
    assert circuit(two) == "closed"
    redis.start()
    wait_for(two, "open", "half_open")  # it was written when the store was back
    redis.kill()
    a.status = 200
    wait_until(lambda: ask(one)[0] == 200 and circuit(one) == "closed", what=one.log_text)
    redis.start()
    wait_until(lambda: circuit(two) == "closed", what=two.log_text)


def test_a_reload_keeps_what_is_open(start, upstream):  # noqa: F811
    a, b = upstream(), upstream()
    text = gateway([a.port, b.port], breaker("failure_threshold: 3, open_time: 1m"))
    daemon = start(text)
    a.status = 500
    wait_until(lambda: ask(daemon)[0] is not None and circuit(daemon) == "open", what=daemon.log_text)
    sent = a.chats
    daemon.file.write_text(text.replace("failure_threshold: 3", "failure_threshold: 4"))
    daemon.process.send_signal(1)
    wait_until(lambda: "configuration reloaded" in daemon.log_text(), what=daemon.log_text)
    for _ in range(5):
        assert ask_many(daemon, 10) == {200: 10}
    assert a.chats == sent and states(daemon)[0] == "open"
    # Without the plugin nobody has a say.
    daemon.file.write_text(text.replace("plugins:\n  - breaker: {failure_threshold: 3, open_time: 1m}", ""))
    daemon.process.send_signal(1)
    wait_until(lambda: states(daemon)[0] == "ready", what=daemon.log_text)


@pytest.mark.parametrize("block, opens", [("{enabled: true, failure_threshold: 3}", True),
                                          ("{enabled: false, failure_threshold: 3}", False)])
def test_the_load_balancing_block_is_its_configuration(start, upstream, block, opens):  # noqa: F811
    a = upstream()
    daemon = start(gateway([a.port], f"{ALONE}load_balancing: {{circuit_breaker: {block}}}\nplugins: [breaker]\n"))
    a.status = 500
    assert [ask(daemon)[0] for _ in range(5)] == ([502] * 3 + [503] * 2 if opens else [502] * 5)
