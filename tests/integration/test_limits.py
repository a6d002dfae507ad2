# SPDX-License-Identifier: Apache-2.0
"""Rate limits and budgets of the real daemon, with the store in memory."""

import collections
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import echo_config, wait_until
from test_tenants import Admin

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
KEYS = "keys: [{name: k, secret: sk-%s-0000}]"


def tenants(**rules):
    lines = [f"  {name}: {{{KEYS % name}, {text}}}" for name, text in rules.items()]
    return "tenants:\n" + "\n".join(lines)


def with_plugins(*plugins, more="", options=""):
    entries = "\n".join(f"  - {p}" for p in ("auth", *plugins))
    return echo_config(f"plugins:\n{entries}\n{more}", options)


def ask(daemon, tenant="acme", text="hello", **extra):
    body = {"model": "echo", "messages": [{"role": "user", "content": text}], **extra}
    return daemon.request(
        "/v1/chat/completions", body, {"Authorization": f"Bearer sk-{tenant}-0000"}
    )


def statuses(daemon, n, tenant="acme", **extra):
    with concurrent.futures.ThreadPoolExecutor(min(n, 32)) as pool:
        return list(pool.map(lambda _: ask(daemon, tenant, **extra), range(n)))


def count(results):
    return collections.Counter(status for status, _, _ in results)


def test_headers_and_refusal(start):
    daemon = start(
        with_plugins(
            "ratelimit: {}",
            more=tenants(acme="limits: {requests_per_minute: 3, tokens_per_minute: 5000}", other=""),
        )
    )
    for left in (2, 1, 0):
        status, head, _ = ask(daemon, max_tokens=5)
        assert status == 200
        assert head["x-ratelimit-limit-requests"] == "3"
        assert head["x-ratelimit-remaining-requests"] == str(left)
        assert re.fullmatch(r"\d+(ms|s)|\d+m\d+s", head["x-ratelimit-reset-requests"])
        assert int(head["x-ratelimit-remaining-tokens"]) < 5000
        assert '"tenant-rpm";q=3;w=60' in head["ratelimit-policy"]
        assert f'"tenant-rpm";r={left};t=' in head["ratelimit"]
    status, head, body = ask(daemon, max_tokens=5)
    assert status == 429
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert body["error"]["type"] == "rate_limit_error"
    assert "this tenant on requests per minute: limit 3" in body["error"]["message"]
    assert 1 <= int(head["retry-after"]) <= 21
    assert int(head["retry-after-ms"]) <= 21000
    assert "x-should-retry" not in head
    assert ask(daemon, "other")[0] == 200
    status, head, body = ask(daemon, "acme", max_tokens=8000)
    assert status in (400, 429)


def test_a_request_larger_than_the_burst_is_told_so(start):
    daemon = start(with_plugins("ratelimit: {}", more=tenants(acme="limits: {tokens_per_minute: 100}")))
    status, head, body = ask(daemon, text="x" * 90, max_tokens=90)
    assert status == 429 and head["x-should-retry"] == "false"
    assert "can never pass" in body["error"]["message"]


def test_a_stream_carries_the_headers(start):
    daemon = start(with_plugins("ratelimit: {}", more=tenants(acme="limits: {requests_per_minute: 9}")))
    status, head, _ = ask(daemon, stream=True)
    assert status == 200 and head["x-ratelimit-remaining-requests"] == "8"


def test_a_burst_is_exact(start):
    daemon = start(
        with_plugins("ratelimit: {}", more=tenants(acme="limits: {requests_per_hour: 60}"))
    )
    begin = time.monotonic()
    got = count(statuses(daemon, 200, max_tokens=2))
    refilled = int((time.monotonic() - begin) / 60)
    assert 60 <= got[200] <= 60 + refilled and got[429] == 200 - got[200]


def test_places_are_exact_and_come_back(start):
    daemon = start(
        with_plugins(
            "ratelimit: {}",
            more=tenants(acme="limits: {concurrent: 4}"),
            options=", options: {delay_us: 30000}",
        )
    )
    got = count(statuses(daemon, 24, text="x" * 30, max_tokens=20))
    assert 4 <= got[200] < 24 and got[200] + got[429] == 24
    # With all of them ended, four fit again.
    assert count(statuses(daemon, 4, max_tokens=2)) == {200: 4}


def test_a_hundred_requests_on_a_budget_of_ten(start):
    text, answer = "x" * 60, 20
    free = start(echo_config())
    usage = free.request(
        "/v1/chat/completions",
        {"model": "echo", "messages": [{"role": "user", "content": text}], "max_tokens": answer},
    )[2]["usage"]
    assert usage["completion_tokens"] == answer
    worth = usage["prompt_tokens"] + answer
    daemon = start(
        with_plugins(
            "quota: {}",
            more=tenants(acme=f"quota: {{tokens_per_month: {10 * worth}}}"),
            options=", options: {delay_us: 2000}",
        )
    )
    results = statuses(daemon, 100, text=text, max_tokens=answer)
    assert count(results) == {200: 10, 429: 90}
    status, head, body = ask(daemon, text=text, max_tokens=answer)
    assert status == 429 and body["error"]["code"] == "insufficient_quota"
    assert head["x-should-retry"] == "false"
    assert re.fullmatch(r"\d{4}-\d\d-01T00:00:00Z", head["x-weir-quota-reset"])
    assert "left 0" in body["error"]["message"]
    shown = daemon.request("/admin/v1/plugins/quota/tenants/acme", admin=True)[2]
    assert shown["budgets"][0]["left"] == "0" and shown["complete"]


def test_money_warnings_and_unpriced_models(start, tmp_path):
    book = tmp_path / "prices.yaml"
    book.write_text("currency: EUR\nmodels: {echo: [{from: 2020-01-01, request: 0.1}]}\n")
    daemon = start(
        with_plugins(
            f"quota: {{price_book: {book}, warn_at: [50]}}",
            more=tenants(
                acme="quota: {timezone: Europe/Berlin, spend_per_day: {amount: 0.3, currency: EUR}}",
                other="quota: {spend_per_day: {amount: 1, currency: USD}}",
            ),
        )
    )
    assert "x-weir-quota-warning" not in ask(daemon)[1]
    assert ask(daemon)[1]["x-weir-quota-warning"].startswith("50% of the spend per day")
    assert ask(daemon)[0] == 200
    status, _, body = ask(daemon)
    assert status == 429 and "limit 0.300000 EUR, left 0.000000 EUR" in body["error"]["message"]
    assert ask(daemon, "other")[0] == 503
    wait_until(lambda: daemon.metric("weir_quota_warnings_total") == 1)
    assert daemon.metric("weir_quota_decisions_total", result="exhausted") == 1


def test_admin_and_metrics(start):
    daemon = start(
        with_plugins(
            "ratelimit: {limits: {global: {requests_per_second: 1000}}}",
            more=tenants(acme="limits: {requests_per_minute: 3}"),
        )
    )
    for _ in range(4):
        ask(daemon)
    shown = daemon.request("/admin/v1/plugins/ratelimit/tenants/acme", admin=True)[2]
    assert shown["tenant"] == "acme" and shown["store"] == "ok"
    assert shown["limits"][0]["unit"] == "requests per minute"
    assert shown["limits"][0]["remaining"] == 0
    nobody = daemon.request("/admin/v1/plugins/ratelimit/tenants/nobody", admin=True)[2]
    assert nobody["limits"] == []
    name = "weir_ratelimit_decisions_total"
    wait_until(lambda: daemon.metric(name, result="allowed") == 3)
    assert daemon.metric(name, level="tenant", result="refused") == 1
    assert daemon.metric("weir_ratelimit_store_lost") == 0
    wait_until(lambda: "weir_ratelimit_remaining" in daemon.request("/metrics", admin=True)[2])


@pytest.mark.parametrize(
    "entry, says",
    [
        ("ratelimit: {limits: {tenant: {requests_per_second: 0}}}", "requests_per_second"),
        ("ratelimit: {on_store_loss: local}", "needs replicas"),
        ("quota: {timezone: Mars/Olympus}", "timezone Mars/Olympus"),
        ("quota: {budgets: {tenant: {spend_per_day: {amount: 1, currency: EUR}}}}", "price_book"),
        ("quota: {price_book: no/such.yaml}", "no/such.yaml"),
    ],
)
def test_wrong_settings_are_refused(binary, tmp_path, entry, says):
    file = tmp_path / "weir.yaml"
    file.write_text(with_plugins(entry))
    result = subprocess.run(
        [binary, "serve", "-c", str(file)], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 78 and says in result.stdout + result.stderr


@pytest.mark.parametrize("promised", [False, True])
def test_adaptive_limits_keep_what_is_promised(start, promised):
    """First tokens come after 50 ms: good by the usual SLA of 200 ms, five times that of the file."""
    sla = "performance: {latency_slas: {interactive_ui: {p95_max_ms: 1500, p99_max_ms: 3000, ttft_max_ms: 10}}}\n"
    daemon = start(
        with_plugins(
            "ratelimit: {adaptive: {enabled: true, min: 1, max: 16, interval: 100ms, min_samples: 4}}",
            more=tenants(acme="") + "\n" + (sla if promised else ""),
            options=", options: {delay_us: 50000}",
        )
    )
    for _ in range(3):
        statuses(daemon, 8, max_tokens=1)
    wait_until(lambda: daemon.metric("weir_ratelimit_adaptive_limit", model="echo") > 0, what="the metric")
    limit = daemon.metric("weir_ratelimit_adaptive_limit", model="echo")
    assert limit < 16 if promised else limit == 16, limit


def test_a_reload_keeps_what_was_used(start):
    config = with_plugins(
        "ratelimit: {}", "quota: {}",
        more=tenants(acme="limits: {requests_per_hour: 1000}, quota: {requests_per_day: 100}"),
    )
    daemon = start(config)
    assert count(statuses(daemon, 30)) == {200: 30}
    daemon.file.write_text(config.replace("requests_per_day: 100", "requests_per_day: 30"))
    os.kill(daemon.process.pid, signal.SIGHUP)
    wait_until(lambda: ask(daemon)[2].get("error", {}).get("code") == "insufficient_quota")
    assert int(ask(daemon)[1]["x-ratelimit-remaining-requests"]) < 970


def test_the_admin_api_changes_limits_at_run_time(start):
    daemon = start(with_plugins("ratelimit: {}", "quota: {}"))
    admin = Admin(daemon)
    etag = admin.tenant("new", limits={"requests_per_hour": 2})
    bearer = {"Authorization": f"Bearer {admin.key('new')['key']}"}
    small = admin.key("new", "small", quota={"requests_per_day": 1})["key"]

    def one(headers=bearer):
        return daemon.request("/v1/chat/completions", HELLO, headers)

    assert count([one() for _ in range(4)]) == {200: 2, 429: 2}
    status, head, _ = admin("PATCH", "/tenants/new", {"limits": {"requests_per_hour": 1000}}, etag)
    assert status == 200
    wait_until(lambda: one()[0] == 200)
    assert one()[1]["x-ratelimit-limit-requests"] == "1000"
    # A key's own budget, within its tenant's.
    few = [one({"Authorization": f"Bearer {small}"}) for _ in range(2)]
    assert count(few) == {200: 1, 429: 1}
    assert few[1][2]["error"]["code"] == "insufficient_quota"
    assert "this API key on requests per day" in few[1][2]["error"]["message"]
    # The tenant's own admin may look at it, and at no other.
    own = Admin(daemon, admin.key("new", "boss", scopes=["tenant_admin"])["key"])
    assert own("GET", "/plugins/ratelimit/tenants/new")[2]["tenant"] == "new"
    assert own("GET", "/plugins/ratelimit/tenants/other")[0] == 404
