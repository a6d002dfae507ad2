# SPDX-License-Identifier: Apache-2.0
"""Load balancing, health and retries over targets of one model that fail or are slow."""

import collections
import concurrent.futures
import time

import pytest

from conftest import wait_until

CHAT = "/v1/chat/completions"
WAIT_S = 120


def config(targets, extra="", model="", server=""):
    lines = "".join(f"      - {t}\n" for t in targets)
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", workers: 2{server}}}
models:
  echo:
{model}    targets:
{lines}{extra}"""


def echo(options="", weight=100, more=""):
    return f"{{engine: {{backend: echo, max_batch: 64{', options: {' + options + '}' if options else ''}}}, weight: {weight}{more}}}"


def ask(daemon, text="hello", headers=None, **extra):
    body = {"messages": [{"role": "user", "content": text}], **extra}
    return daemon.request(CHAT, body, headers=headers, timeout=WAIT_S)


def ask_many(daemon, n, at_a_time=8, **extra):
    with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        return collections.Counter(s for s, _, _ in pool.map(lambda _: ask(daemon, **extra), range(n)))


@pytest.fixture
def serve(start):
    """Like start(), with every target up: a daemon is ready with the first one of each model."""

    def run(text):
        daemon = start(text)
        wait_until(lambda: all(t["health"]["state"] != "down" for m in (0, 1)[:text.count("targets:")] for t in targets(daemon, m)),
                   what="all targets are up")
        return daemon

    return run


def targets(daemon, model=0):
    return daemon.request("/admin/v1/models", admin=True)[2][model]["targets"]


def served(daemon, model=0):
    return [t["health"]["good"] for t in targets(daemon, model)]


def test_round_robin_by_weight(serve):
    daemon = serve(config([echo(weight=50), echo(weight=30), echo(weight=20)],
                          "load_balancing: {algorithm: round_robin}\n"))
    assert ask_many(daemon, 100) == {200: 100}
    assert served(daemon) == [50, 30, 20]
    assert daemon.request("/admin/v1/models", admin=True)[2][0]["algorithm"] == "round_robin"


@pytest.mark.parametrize("algorithm", ["least_connections", "power_of_two", "latency"])
def test_the_slow_target_gets_less(serve, algorithm):
    daemon = serve(config([echo("delay_us: 200"), echo("delay_us: 8000")],
                          f"load_balancing: {{algorithm: {algorithm}}}\n"))
    assert ask_many(daemon, 240, max_tokens=10) == {200: 240}
    fast, slow = served(daemon)
    assert fast + slow == 240 and fast > 2 * slow, (fast, slow)


def test_canary_is_weighted_and_sticky(serve):
    daemon = serve(config([echo(weight=80), echo(weight=20)], model="    algorithm: canary\n"))
    for user in range(150):
        before = served(daemon)
        assert ask(daemon, user=f"user-{user}")[0] == ask(daemon, user=f"user-{user}")[0] == 200
        moved = [b - a for a, b in zip(before, served(daemon))]
        assert moved in ([2, 0], [0, 2]), moved  # both on the same
    assert 0.68 < served(daemon)[0] / 300 < 0.92


@pytest.mark.parametrize("affinity,kind", [("header: x-session-id", "header"), ("cookie: session", "cookie"),
                                           ("user: true", "user")])
def test_sessions_stay_on_their_target(serve, affinity, kind):
    daemon = serve(config([echo()] * 4, model=f"    affinity: {{{affinity}}}\n"))
    used = set()
    for session in range(12):
        name = f"s{session}"
        headers = {"header": {"x-session-id": name}, "cookie": {"Cookie": f"a=b; session={name}; c=d"}}.get(kind)
        extra = {"user": name} if kind == "user" else {}
        before = served(daemon)
        for _ in range(4):
            assert ask(daemon, headers=headers, **extra)[0] == 200
        moved = [b - a for a, b in zip(before, served(daemon))]
        assert sorted(moved) == [0, 0, 0, 4], moved
        used.add(moved.index(4))
    assert len(used) >= 3


def test_a_prompts_beginning_stays_where_it_is_cached(serve):
    daemon = serve(config([echo()] * 3, "load_balancing: {algorithm: prefix_affinity}\n"))
    for conversation in "abcd":
        before = served(daemon)
        for turn in range(4):
            text = conversation * 1000 + f" turn {turn}"
            assert ask(daemon, text=text, max_tokens=2)[0] == 200
        moved = [b - a for a, b in zip(before, served(daemon))]
        assert sorted(moved) == [0, 0, 4], moved


def test_a_gateway_in_front_names_the_target(serve):
    daemon = serve(config([echo()] * 3))
    header = "x-gateway-destination-endpoint"
    for _ in range(5):
        assert ask(daemon, headers={header: "echo/2"})[0] == 200
    assert served(daemon) == [0, 0, 5]
    assert ask(daemon, headers={header: "10.9.9.9:80, echo/1,echo/0"})[0] == 200
    assert served(daemon) == [0, 1, 5]
    assert ask(daemon, headers={header: "10.9.9.9:80"})[0] == 200  # none of ours: not for us
    assert sum(served(daemon)) == 7


def test_the_error_is_the_targets_when_no_other_is_left(serve):
    """The one that the gateway in front named fails, and nothing else may run the request."""
    gateway = "gateway: {retries: {attempts: 2}, ejection: {consecutive_errors: 1, time: 60s}}\n"
    daemon = serve(config([echo("fail_after: 1"), echo()], gateway))
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    header = {"x-gateway-destination-endpoint": "echo/0"}
    status, _, answer = daemon.request("/v1/chat/completions", body, header)
    assert (status, answer["error"]["code"]) == (503, "model_failed"), answer


def test_a_failing_target_is_ejected_and_its_requests_are_tried_again(serve):
    """One of two fails at once, always: the clients see nothing of it."""
    daemon = serve(config([echo("fail_after: 1"), echo()],
                          "gateway: {retries: {budget_percent: 100}, ejection: {time: 60s, consecutive_errors: 1}}\n"))
    counts = ask_many(daemon, 200)
    assert counts == {200: 200}, counts
    bad, good = targets(daemon)
    assert bad["health"]["ejections"] >= 1 and good["health"]["ejections"] == 0
    assert daemon.metric("weir_target_ejections_total", target="echo/0", cause="errors") >= 1
    assert daemon.metric("weir_target_retries_total", target="echo/0", reason="failure") >= 1
    assert daemon.metric("weir_target_requests_total", target="echo/0", result="bad") >= 1
    wait_until(lambda: "echo/0: ejected" in daemon.log_text(), what="the ejection is logged")


def test_retries_keep_to_their_budget(serve):
    """Everything fails: the load on the targets grows by the budget, not by the attempts."""
    daemon = serve(config([echo("fail_after: 1"), echo("fail_after: 1")],
                          "gateway: {retries: {attempts: 5, budget_percent: 20}, ejection: {consecutive_errors: 0, success_percent: 0}}\n"))
    began = time.monotonic()
    n = 150
    counts = ask_many(daemon, n, at_a_time=4)
    assert counts[200] < n
    retries = daemon.metric("weir_target_retries_total", reason="failure")
    most = 10 + 0.2 * n + (time.monotonic() - began) + 1
    assert 0 < retries <= most, (retries, most)
    daemon = serve(config([echo("fail_after: 1")], "gateway: {retries: {budget_percent: 0}}\n"))
    ask_many(daemon, 10, at_a_time=2)
    assert daemon.metric("weir_target_retries_total", reason="failure") == 0
    assert daemon.metric("weir_target_retries_total", reason="no_budget") > 0


def test_fallback_models_follow_when_all_targets_fail(serve):
    daemon = serve(config([echo("fail_after: 1")], model="    fallback: [spare]\n",
                          extra="""  spare:
    targets: [{engine: {backend: echo}}]
gateway: {retries: {budget_percent: 100}}
"""))
    for _ in range(20):
        status, headers, body = ask(daemon, model="echo")
        assert status == 200 and body["model"] in ("spare", "echo")
    assert served(daemon, 1)[0] >= 10


def test_a_target_that_is_too_slow_is_left_for_another(serve):
    """It has taken the request, and nothing comes: another one answers."""
    daemon = serve(config([echo("delay_us: 400000", more=", timeouts: {first_token: 300ms}"), echo(weight=1)],
                          "gateway: {retries: {budget_percent: 100}}\n"))
    assert ask(daemon, max_tokens=3)[0] == 200
    wait_until(lambda: daemon.metric("weir_target_retries_total", target="echo/0", reason="timeout") >= 1,
               what="a retry because of the time")
    assert served(daemon)[1] >= 1


def test_without_another_target_slowness_is_told(serve):
    daemon = serve(config([echo("delay_us: 500000")], "timeouts: {first_token: 200ms}\ngateway: {retries: {attempts: 0}}\n"))
    status, _, body = ask(daemon, max_tokens=3)
    assert (status, body["error"]["code"]) == (504, "target_timeout")


def test_an_answer_that_stops_or_lasts_too_long_ends(serve):
    daemon = serve(config([echo("delay_us: 1000, hang_after: 20, hang_ms: 3000")], "timeouts: {between_tokens: 300ms}\n"))
    status, _, text = ask(daemon, text="x" * 100, stream=True)
    assert status == 200 and '"target_timeout"' in text and "[DONE]" not in text
    daemon = serve(config([echo("delay_us: 50000")], "timeouts: {total: 500ms}\n"))
    status, _, body = ask(daemon, text="x" * 100)
    assert (status, body["error"]["code"]) == (504, "total_timeout")
    assert ask(daemon, text="x", max_tokens=1)[0] == 200


def test_the_nearest_region_serves(serve):
    daemon = serve(config([echo(more=", region: east"), echo(more=", region: west"), echo()], server=", region: west"))
    for _ in range(10):
        assert ask(daemon)[0] == 200
    assert served(daemon)[0] == 0 and sum(served(daemon)) == 10
    assert [t["region"] for t in targets(daemon)] == ["east", "west", "west"]


def test_a_region_whose_targets_fail_is_left(serve):
    daemon = serve(config([echo("fail_after: 1", more=", region: east"), echo("fail_after: 1", more=", region: east"), echo(more=", region: west")],
                          """gateway:
  retries: {budget_percent: 100, attempts: 4}
  ejection: {time: 60s, consecutive_errors: 2, max_percent: 100}
  regions: {leave_after: 100ms}
""", server=", region: east"))
    assert ask_many(daemon, 60, at_a_time=3) == {200: 60}
    wait_until(lambda: daemon.metric("weir_region_left", region="east") == 1, what="the region is left")
    assert "region 'east' is left" in daemon.log_text()
    assert served(daemon)[2] >= 50
