# SPDX-License-Identifier: Apache-2.0
"""What tenants can see of each other (nothing), and how much one can take from another."""

import concurrent.futures
import json
import time

import pytest
from conftest import wait_until

CHAT = "/v1/chat/completions"
SECRETS = {"acme": "acme-secret-key-0001", "globex": "globex-secret-key-0002"}


def config(tenants, models="", engine="max_batch: 2, options: {delay_us: 2000}", more=""):
    entries = "".join(
        f"  {name}:\n    keys: [{{name: main, secret: {SECRETS[name]}}}]\n" + "".join(f"    {line}\n" for line in lines)
        for name, lines in tenants.items()
    )
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", workers: 2}}
plugins: [auth]
models:
  echo:
    queue: {{size: 20, timeout: 60s}}
    targets: [{{engine: {{backend: echo, {engine}}}}}]
{models}
{more}
tenants:
{entries}"""


def key(tenant):
    return {"Authorization": f"Bearer {SECRETS[tenant]}"}


def chat(daemon, tenant, text="hello", timeout=120, **extra):
    body = {"messages": [{"role": "user", "content": text}], "model": "echo", **extra}
    return daemon.request(CHAT, body, headers=key(tenant), timeout=timeout)


def flood(pool, daemon, tenant, count, text="x" * 60, **extra):
    return [pool.submit(chat, daemon, tenant, text, **extra) for _ in range(count)]


def code(answer):
    return 200 if answer[0] == 200 else (answer[0], answer[2]["error"]["code"])


def test_cached_prompts_are_not_shared_between_tenants(start):
    daemon = start(config({"acme": [], "globex": []}))
    prompt = "the same long prompt for everybody, of several pages " * 4

    def cached(tenant):
        status, _, body = chat(daemon, tenant, prompt, max_tokens=2)
        assert status == 200
        return body["usage"]["prompt_tokens_details"]["cached_tokens"]

    assert cached("acme") == 0
    assert cached("acme") > 100
    assert cached("globex") == 0  # nor does it help that acme has just used it
    assert cached("globex") > 100


def test_models_of_others_do_not_exist(start):
    other = "  secret-model:\n    targets: [{engine: {backend: echo}}]"
    daemon = start(config({"acme": ["models: [echo]"], "globex": []}, models=other))

    def names(tenant):
        return [m["id"] for m in daemon.request("/v1/models", headers=key(tenant))[2]["data"]]

    assert names("acme") == ["echo"] and names("globex") == ["echo", "secret-model"]
    for path, body in (
        ("/v1/models/secret-model", None),
        (CHAT, {"model": "secret-model", "messages": [{"role": "user", "content": "x"}]}),
        ("/v1/completions", {"model": "secret-model", "prompt": "x"}),
        ("/tokenize", {"model": "secret-model", "content": "x"}),
        ("/detokenize", {"model": "secret-model", "tokens": [65]}),
    ):
        mine = daemon.request(path, body, headers=key("acme"))
        assert mine[0] == 404, (path, mine)  # not 403: nobody learns that it exists
        unknown = json.dumps(body).replace("secret-model", "no-such-mode") if body else None
        nobodys = daemon.request(
            path.replace("secret-model", "no-such-mode"), unknown and unknown.encode(), headers=key("acme")
        )
        assert nobodys[0] == 404
        assert mine[2]["error"]["message"].replace("secret-model", "*") == nobodys[2]["error"]["message"].replace(
            "no-such-mode", "*"
        )


def test_nothing_of_the_operator_is_served_to_tenants(start):
    daemon = start(config({"acme": [], "globex": []}))
    for path in ("/metrics", "/admin", "/admin/v1/models", "/admin/v1/plugins", "/admin/v1/tenants", "/admin/v1/openapi.json"):
        status, _, body = daemon.request(path, headers=key("acme"))
        assert status == 404, (path, body)


def test_texts_and_keys_are_in_no_log_and_metric(start):
    daemon = start(config({"acme": [], "globex": []}))
    words = {"acme": "wombat-of-acme", "globex": "quokka-of-globex"}
    for tenant, word in words.items():
        assert chat(daemon, tenant, word)[0] == 200
        assert chat(daemon, tenant, word, stream=True)[0] == 200
    metrics = daemon.request("/metrics", admin=True)[2]
    pages = [daemon.request(p, admin=True)[2] for p in ("/admin/v1/models", "/admin/v1/plugins")]
    seen = daemon.log_text() + metrics + json.dumps(pages)
    for tenant, word in words.items():
        assert word not in seen and SECRETS[tenant] not in seen
        lines = [line for line in daemon.log_text().splitlines() if f"tenant={tenant} " in line]
        assert len(lines) == 2  # each access line names its own tenant, and no other
        assert not any(f"tenant={other}" in line for line in lines for other in words if other != tenant)


def test_a_flood_fills_half_of_the_queue_and_others_go_on(start):
    daemon = start(config({"acme": [], "globex": []}))
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        loud = flood(pool, daemon, "acme", 60)
        wait_until(lambda: daemon.metric("weir_requests_waiting") >= 10, what="a full half")
        began = time.monotonic()
        quiet = chat(daemon, "globex", "hi", max_tokens=4)
        took = time.monotonic() - began
        counts = {}
        for one in loud:
            what = code(one.result())
            counts[what] = counts.get(what, 0) + 1
    assert quiet[0] == 200
    assert set(counts) == {200, (429, "tenant_queue_full")}, counts
    assert counts[(429, "tenant_queue_full")] > 0 and counts[200] >= 10
    assert daemon.metric("weir_requests_rejected_total", reason="tenant_queue_full") == counts[(429, "tenant_queue_full")]
    assert took < 20


def test_a_configured_queue_bound_and_streams_hold(start):
    daemon = start(
        config({"acme": ["resources: {queue: 3, streams: 2}"], "globex": []}, engine="max_batch: 1, options: {delay_us: 20000}")
    )
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        codes = [code(f.result()) for f in flood(pool, daemon, "acme", 30, "y" * 20)]
        refused = codes.count((429, "tenant_queue_full"))
        assert refused > 10 and refused + codes.count(200) == 30, codes
        codes = [code(f.result()) for f in flood(pool, daemon, "acme", 8, "y" * 30, stream=True)]
        assert codes.count((429, "tenant_streams_exceeded")) >= 4, codes
        assert codes.count(200) + codes.count((429, "tenant_streams_exceeded")) == 8
    assert chat(daemon, "acme", stream=True)[0] == 200  # they are given back


def test_what_never_fits_the_tenants_memory_is_refused(start):
    # echo: 4 bytes a token, 64 a page
    daemon = start(config({"acme": ["resources: {kv_memory: 2KiB}"], "globex": []}))
    status, _, body = chat(daemon, "acme", "z" * 600)
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "kv_memory_exceeded", "messages")
    assert chat(daemon, "acme", "z" * 100)[0] == 200
    assert chat(daemon, "globex", "z" * 600)[0] == 200


def test_a_hard_share_slows_its_tenant_only(start):
    daemon = start(
        config(
            {"acme": ["resources: {gpu_share: 0.2, gpu_share_hard: true}"], "globex": []},
            engine="max_batch: 4, options: {delay_us: 5000}",
        )
    )

    def seconds(tenant):
        began = time.monotonic()
        assert chat(daemon, tenant, "w" * 60)[0] == 200
        return time.monotonic() - began

    seconds("globex")
    free, bounded = seconds("globex"), seconds("acme")
    assert bounded > 2.5 * free, (bounded, free)


@pytest.mark.parametrize("stream", [False, True])
def test_a_step_that_never_returns_ends_its_requests(start, stream):
    """60 s by default, here one; the model comes back when the device answers."""
    daemon = start(
        config({"acme": [], "globex": []}, engine="max_batch: 2, stall_timeout: 1s, options: {delay_us: 1000, hang_after: 15, hang_ms: 6000}")
    )
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = flood(pool, daemon, "acme", 6, "v" * 50, stream=stream)
        wait_until(lambda: daemon.request("/healthz/ready")[0] == 503, what="not ready")
        answers = [f.result(timeout=60) for f in running]
    for status, _, body in answers:
        if stream and status == 200:
            assert "model_failed" in body and "does not answer" in body
        else:
            assert status == 503 and body["error"]["code"] in ("model_failed", "model_unavailable")
    assert daemon.metric("weir_requests_running") == 0 and daemon.metric("weir_requests_waiting") == 0
    assert daemon.request("/admin/v1/models", admin=True)[2][0]["queue"]["used"] == 0
    wait_until(lambda: daemon.request("/healthz/ready")[0] == 200, timeout=30, what="ready again")
    assert chat(daemon, "globex", "after", max_tokens=3)[0] == 200
    wait_until(lambda: daemon.metric("weir_requests_received_total") == daemon.metric("weir_requests_total"), what="all counted")
