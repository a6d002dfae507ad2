# SPDX-License-Identifier: Apache-2.0
"""The cache plugin over HTTP: who gets a kept answer, in which form, and who never does."""

import concurrent.futures
import contextlib
import json
import signal
import threading
import time

import openai
import pytest

import billing
from conftest import echo_config, wait_until
from relay import Relay
from test_store import redis  # noqa: F401 (a fixture)
from test_tenants import Admin
from test_upstream import mock_upstream

CHAT = "/v1/chat/completions"


def body(text="hello", **extra):
    return {
        "model": "echo",
        "temperature": 0,
        "messages": [{"role": "user", "content": text}],
        **extra,
    }


@pytest.fixture(params=["memory", "redis"])
def cached(request, start):
    """cached(entry, extra, options) -> a daemon with the plugin, on either driver of the store."""
    if request.param == "redis":
        server = request.getfixturevalue("redis")
        server.start()
        store = f'store: {{driver: redis, url: "redis+unix://{server.socket}", timeout: 5s}}\n'
    else:
        store = ""

    def run(entry="cache", extra="", options="", before="", behind="", models=""):
        plugins = f"plugins:\n{before}\n- {entry}\n{behind}\n"
        config = store + echo_config(plugins + extra, options)
        daemon = start(config.replace("models:\n", "models:\n" + models))
        if store:  # before it hears of others it keeps nothing in its memory
            wait_until(lambda: "invalidate" in server.command("pubsub", "channels").stdout, what="a subscription")
        return daemon

    return run


def ask(daemon, payload, headers=None):
    """(x-weir-cache, status, answer)"""
    status, head, answer = daemon.request(CHAT, payload, headers)
    return head.get("x-weir-cache"), status, answer


def text_of(answer):
    """What an answer says, streamed or not."""
    if isinstance(answer, dict):
        return answer["choices"][0]["message"]["content"]
    events = [line[6:] for line in answer.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]", answer
    deltas = [json.loads(e)["choices"] for e in events[:-1]]
    return "".join(c[0]["delta"].get("content") or "" for c in deltas if c)


def test_equal_requests_are_answered_once(cached):
    daemon = cached()
    first = ask(daemon, body())
    again = ask(daemon, body())
    assert first[:2] == ("MISS", 200) and again[:2] == ("HIT", 200)
    assert text_of(again[2]) == text_of(first[2]) != ""
    assert again[2]["id"] != first[2]["id"], "an answer has its own id"
    usage = again[2]["usage"]
    assert usage["completion_tokens"] == first[2]["usage"]["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"]
    status, head, _ = daemon.request(CHAT, body())
    assert status == 200 and int(head["age"]) >= 0
    wait_until(
        lambda: daemon.metric("weir_cache_requests_total", result="miss") == 1, what="the metrics"
    )


def test_streams_and_whole_answers_serve_each_other(cached):
    daemon = cached()
    stream = body("one", stream=True)
    first, again = ask(daemon, stream), ask(daemon, stream)
    assert (first[0], again[0]) == ("MISS", "HIT")
    assert text_of(first[2]) == text_of(again[2])
    assert first[2].count("data: ") == again[2].count("data: "), "event by event"
    whole = ask(daemon, body("one"))
    assert whole[0] == "HIT" and text_of(whole[2]) == text_of(first[2])
    whole, stream = ask(daemon, body("two")), ask(daemon, body("two", stream=True))
    assert (whole[0], stream[0]) == ("MISS", "HIT")
    assert text_of(whole[2]) == text_of(stream[2])


def test_an_official_client_streams_a_kept_answer(cached):
    daemon = cached()
    client = openai.OpenAI(base_url=daemon.url + "/v1", api_key="none")
    texts = []
    for _ in range(2):
        chunks = list(
            client.chat.completions.create(
                **body("client"), stream=True, stream_options={"include_usage": True}
            )
        )
        texts.append("".join(c.choices[0].delta.content or "" for c in chunks if c.choices))
        assert chunks[-1].usage.completion_tokens > 0
    assert texts[0] == texts[1] != ""


def vectors(url, model="embed"):
    return f"""  {model}: {{targets: [{{upstream: {{url: '{url}', model: {model}}}}}]}}
"""


def embed(daemon, payload, model="embed"):
    status, head, answer = daemon.request("/v1/embeddings", {"model": model, **payload})
    return head.get("x-weir-cache"), status, answer


def test_embeddings_are_kept_too(cached):
    with mock_upstream.Server() as mock:
        url = f"http://127.0.0.1:{mock.port}/v1"
        daemon = cached(models=vectors(url) + vectors(url, "embed_less"))
        variants = [
            {"input": "abc"},
            {"input": ["abc"]},
            {"input": ["abc", "d"]},
            {"input": [97, 98]},
            {"input": "abc", "dimensions": 2},
            {"input": "abc", "encoding_format": "base64"},
        ]
        first = [embed(daemon, v) for v in variants]
        assert [f[:2] for f in first] == [("MISS", 200)] * len(variants)
        assert mock.n_requests == len(variants)
        again = [embed(daemon, v) for v in variants]
        assert [a[:2] for a in again] == [("HIT", 200)] * len(variants)
        assert [a[2] for a in again] == [f[2] for f in first]
        assert mock.n_requests == len(variants)
        assert embed(daemon, {"input": "abc", "user": "another"})[0] == "HIT"
        answer = openai.OpenAI(base_url=daemon.url + "/v1", api_key="x").embeddings.create(
            model="embed", input="abc"
        )
        assert answer.data[0].embedding == [0, 3] and mock.n_requests == len(variants)
        for _ in range(2):
            assert embed(daemon, {"input": ["a", "b"]}, "embed_less")[:2] == ("MISS", 502)


def test_whatever_may_change_the_answer_is_part_of_the_key(cached):
    daemon = cached("cache: {sampled: true}")
    variants = [
        body(),
        body("hellO"),
        body(max_tokens=3),
        body(temperature=0.5),
        body(temperature=0.5, seed=1),
        body(temperature=0.5, seed=2),
        body(temperature=0.5, top_p=0.9),
        body(top_k=3),
        body(presence_penalty=0.5),
        body(logit_bias={"65": 1}),
        body(stop=["x"]),
        body(stop=["x", "y"]),
        body(n=2),
        body(chat_template_kwargs={"a": 1}),
        {**body(), "messages": [{"role": "system", "content": "s"}, *body()["messages"]]},
    ]
    for payload in variants:
        assert ask(daemon, payload)[:2] == ("MISS", 200), payload
    for payload in variants:
        assert ask(daemon, payload)[:2] == ("HIT", 200), payload


def test_what_does_not_change_the_answer_is_not(cached):
    daemon = cached()
    assert ask(daemon, body())[0] == "MISS"
    same = [
        body(user="somebody"),
        body(stream=True, stream_options={"include_usage": True}),
        body(seed=7),  # nothing is drawn at temperature 0
        dict(reversed(list(body().items()))),
    ]
    for payload in same:
        assert ask(daemon, payload)[0] == "HIT", payload
    spaced = json.dumps(body(), indent=3).encode()
    assert ask(daemon, spaced)[0] == "HIT"


def test_all_of_an_answer_comes_back(cached):
    daemon = cached()
    payload = body("abc", n=3)
    first, again = ask(daemon, payload), ask(daemon, payload)
    assert again[0] == "HIT"
    assert again[2]["choices"] == first[2]["choices"]
    completion = {"model": "echo", "prompt": "abc", "temperature": 0, "max_tokens": 9}
    _, _, first = daemon.request("/v1/completions", completion)
    _, head, again = daemon.request("/v1/completions", completion)
    assert head["x-weir-cache"] == "HIT" and again["choices"] == first["choices"]


def test_drawn_answers_are_kept_only_with_a_seed_or_when_told(cached):
    daemon = cached()
    for _ in range(2):
        assert ask(daemon, body(temperature=0.7))[0] == "BYPASS"
    assert ask(daemon, body(temperature=0.7, seed=1))[0] == "MISS"
    assert ask(daemon, body(temperature=0.7, seed=1))[0] == "HIT"


def test_a_request_may_say_no(cached):
    daemon = cached()
    no_store = {"cache-control": "no-store"}
    for _ in range(2):
        assert ask(daemon, body(), no_store)[0] == "BYPASS"
    assert ask(daemon, body())[0] == "MISS", "nothing was kept"
    assert ask(daemon, body(), {"cache-control": "no-cache"})[0] == "BYPASS"
    assert ask(daemon, body())[0] == "HIT"
    assert ask(daemon, body("other"), {"cache-control": "only-if-cached"})[1] == 504
    assert ask(daemon, body(), {"cache-control": "only-if-cached, max-age=60"})[0] == "HIT"
    assert ask(daemon, body(), {"cache-control": "max-age=0"})[0] == "MISS"


def test_answers_expire(cached):
    daemon = cached("cache: {ttl: 1}")
    assert ask(daemon, body())[0] == "MISS"
    wait_until(lambda: ask(daemon, body())[0] == "MISS", what="its end")


def test_the_configuration_block_sets_the_plugin_up(cached, start):
    daemon = cached(extra="caching: {response: {enabled: true, ttl: 1, max_size: 1}, storage: redis}\n")
    for text in ("a", "b"):
        assert ask(daemon, body(text))[0] == "MISS"
    assert daemon.metric("weir_cache_requests_total") >= 0
    wait_until(lambda: ask(daemon, body("b"))[0] == "MISS", what="its end")
    off = start(echo_config("plugins: [cache]\ncaching: {response: {enabled: false}}\n"))
    assert ask(off, body())[0] is None


def test_there_are_at_most_so_many_answers(cached):
    daemon = cached("cache: {max_size: 1, memory_mb: 0}")
    assert ask(daemon, body("a"))[0] == "MISS"
    wait_until(lambda: ask(daemon, body("a"))[0] == "HIT", what="the answer")
    assert ask(daemon, body("b"))[0] == "MISS"
    wait_until(lambda: ask(daemon, body("b"))[0] == "HIT", what="the other answer")
    assert ask(daemon, body("a"))[0] == "MISS"


def test_errors_and_cut_answers_are_not_kept(cached):
    daemon = cached(options=", options: {delay_us: 1000}")
    long = body("x" * 3000, stream=True)
    with daemon.connect() as client:
        data = json.dumps(long).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        assert client.recv(100)
    wait_until(lambda: daemon.metric("weir_cache_not_kept_total") == 1, what="the cut answer")
    assert ask(daemon, body("y" * 3000), {"x-weir-deadline-ms": "50"})[1] == 504
    wait_until(lambda: daemon.metric("weir_cache_not_kept_total") == 2, what="the late answer")
    assert ask(daemon, body("y" * 300, max_tokens=5))[0] == "MISS"
    assert ask(daemon, body("y" * 300, max_tokens=5))[0] == "HIT", "as long as was asked for"
    assert ask(daemon, body("", messages=[]))[1] == 400
    assert daemon.metric("weir_cache_kept_total") <= 1


def test_large_answers_and_requests_go_by(cached):
    daemon = cached("cache: {max_answer_kb: 1, max_request_kb: 4}")
    for _ in range(2):
        assert ask(daemon, body("x" * 2000))[0] == "MISS"
        assert ask(daemon, body("x" * 5000))[:2] == ("BYPASS", 200)


def test_equal_requests_that_run_are_computed_once(cached):
    daemon = cached(options=", options: {delay_us: 3000}")
    results = []

    def run():
        results.append(ask(daemon, body("z" * 100)))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(r[0] for r in results) == ["HIT"] * 7 + ["MISS"]
    assert len({text_of(r[2]) for r in results}) == 1
    wait_until(lambda: daemon.metric("weir_cache_coalesced_total") > 0, what="the metrics")


def test_those_that_wait_go_on_when_the_first_is_cut(cached):
    daemon = cached(options=", options: {delay_us: 3000}")
    payload = json.dumps(body("w" * 300)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(payload)}\r\n\r\n".encode()
    with daemon.connect() as first:
        first.sendall(head + payload)
        wait_until(lambda: daemon.metric("weir_requests_running") == 1, what="the first")
        results = []
        waiting = threading.Thread(target=lambda: results.append(ask(daemon, body("w" * 300))))
        waiting.start()
        time.sleep(0.2)
    waiting.join()
    assert results[0][:2] == ("MISS", 200)


KEYS = {name: f"a-long-enough-secret-of-{name}" for name in ("acme", "other", "root")}
TENANTS = "tenants:\n" + "".join(
    f"  {name}: {{keys: [{{name: k, secret: {secret}, "
    f"scopes: [{'admin' if name == 'root' else 'inference'}]}}]}}\n"
    for name, secret in KEYS.items()
)


def bearer(name):
    return {"Authorization": f"Bearer {KEYS[name]}"}


def test_no_tenant_sees_anothers_answer(cached):
    daemon = cached(before="- auth", extra=TENANTS)
    acme, other = bearer("acme"), bearer("other")
    assert ask(daemon, body(), acme)[0] == "MISS"
    assert ask(daemon, body(), acme)[0] == "HIT"
    assert ask(daemon, body(), other)[0] == "MISS"
    assert ask(daemon, body(), other)[0] == "HIT"  # it is kept by now
    # Invalidating one tenant's leaves the other's.
    status, _, answer = daemon.request(
        "/admin/v1/plugins/cache/tenants/acme", headers=bearer("root"), admin=True, method="DELETE"
    )
    assert status == 200 and answer["removed"] == 1, answer
    assert ask(daemon, body(), acme)[0] == "MISS"
    assert ask(daemon, body(), other)[0] == "HIT"


def test_a_tenants_bytes_bound_its_answers_and_nobody_elses(cached):
    """8 KiB hold four answers of 2 KiB at most; another tenant keeps all of its own."""
    keys = "keys: [{name: k, secret: %s-0123456789}]"
    daemon = cached("cache: {max_answer_kb: 2, memory_mb: 0}", before="- auth",
                    extra=f"tenants:\n  small: {{resources: {{cache: 8Ki}}, {keys % 'small'}}}\n"
                          f"  large: {{{keys % 'large'}}}\n")
    texts = [f"question {i}" for i in range(30)]
    for name, kept in (("small", range(1, 5)), ("large", range(30, 31))):
        headers = {"Authorization": f"Bearer {name}-0123456789"}
        for text in texts:
            assert ask(daemon, body(text), headers)[1] == 200
        # Only looks, so that nothing takes another's place meanwhile.
        found = [ask(daemon, body(text), {**headers, "Cache-Control": "only-if-cached"})[0] for text in texts]
        assert found.count("HIT") in kept, found


def test_users_may_have_their_own(cached):
    daemon = cached("cache: {partition: user}")
    assert ask(daemon, body(user="a"))[0] == "MISS"
    assert ask(daemon, body(user="a"))[0] == "HIT"
    assert ask(daemon, body(user="b"))[0] == "MISS"


def test_answers_of_a_model_are_forgotten_on_demand(cached):
    daemon = cached()
    path = "/admin/v1/plugins/cache/tenants/-"
    for text in ("a", "b"):
        assert ask(daemon, body(text))[0] == "MISS"
        # Kept behind the answer's end: the next request may come sooner.
        wait_until(lambda t=text: ask(daemon, body(t))[0] == "HIT", what="a kept answer")
    status, _, answer = daemon.request(path + "?model=nobody", admin=True, method="DELETE")
    assert (status, answer) == (200, {"removed": 0})
    assert ask(daemon, body("a"))[0] == "HIT"
    status, _, answer = daemon.request(path + "?model=echo", admin=True, method="DELETE")
    assert (status, answer) == (200, {"removed": 2})
    assert ask(daemon, body("a"))[0] == "MISS"


def test_a_hit_is_billed_with_its_prompt_at_the_cached_price(cached, tmp_path):
    daemon = cached(behind=billing.plugin(tmp_path))
    for number in (1, 2, 3):
        payload = body("q" * 100, stream=number == 3)
        status, _, _ = daemon.request(CHAT, payload, {"x-request-id": f"r{number}"})
        assert status == 200
        # Kept and billed behind the answer's end: the next request may come sooner.
        wait_until(lambda n=number: len(billing.ledger(daemon)) == n, what="the ledger")
    miss, hit, stream = sorted(billing.ledger(daemon), key=lambda e: e["request_id"])
    assert miss["target"] == "echo/0" and hit["target"] == stream["target"] == "cache"
    for e in (hit, stream):
        assert e["cached_tokens"] == e["prompt_tokens"] == miss["prompt_tokens"]
        assert e["delivered_tokens"] == e["completion_tokens"] == miss["completion_tokens"]
        assert e["gpu_us"] == 0 and e["amount_micro"] <= miss["amount_micro"]


def test_replicas_share_answers_and_forget_them_together(start, redis):  # noqa: F811
    redis.start()
    store = f'store: {{driver: redis, url: "redis+unix://{redis.socket}", timeout: 500ms}}\n'
    one, two = (start(store + echo_config("plugins: [cache]\n")) for _ in range(2))
    assert ask(one, body())[0] == "MISS"
    wait_until(lambda: ask(two, body())[0] == "HIT", what="the other's answer")
    assert ask(two, body())[0] == "HIT"
    wait_until(
        lambda: two.metric("weir_cache_requests_total", result="hit_memory") >= 1, what="memory"
    )
    path = "/admin/v1/plugins/cache/tenants/-"
    assert one.request(path, admin=True, method="DELETE")[0] == 200
    wait_until(lambda: ask(two, body())[0] == "MISS", what="the news")


@pytest.fixture
def deaf(redis, tmp_path):  # noqa: F811
    """A socket of Redis over which no message is ever heard."""
    relay = Relay(redis.socket, tmp_path / "deaf.sock", lambda piece: b"\r\nmessage\r\n" in piece)
    yield relay.path
    relay.close()


def replicas_of(start, redis, deaf, plugins=""):  # noqa: F811
    """Two replicas on one store, the second of which hears nothing of the other."""
    redis.start()
    slow = echo_config(f"plugins: [{plugins}cache]\n", options=", options: {delay_us: 10000}")
    return (start(f'store: {{driver: redis, url: "redis+unix://{path}", timeout: 500ms}}\n' + slow)
            for path in (redis.socket, deaf))


@contextlib.contextmanager
def late_answer(one, two, headers=None):
    """What is done inside is done while the second replica makes an answer, which is not kept."""
    assert ask(two, body("known"), headers)[0] == "MISS"
    wait_until(lambda: ask(one, body("known"), headers)[0] == "HIT", what="the other's answer")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        late = pool.submit(ask, two, body("x" * 100), headers)
        wait_until(lambda: two.metric("weir_requests_running") == 1, what="an answer that begins")
        yield
        assert late.result()[:2] == ("MISS", 200)
    wait_until(lambda: two.metric("weir_cache_not_kept_total") == 1, what="a refusal")
    assert two.metric("weir_cache_kept_total") == 1


def test_what_another_replica_ends_after_an_invalidation_is_not_kept(start, redis, deaf):  # noqa: F811
    one, two = replicas_of(start, redis, deaf)
    with late_answer(one, two):
        path = "/admin/v1/plugins/cache/tenants/-"
        assert one.request(path, admin=True, method="DELETE")[0] == 200
    assert ask(one, body("x" * 100))[0] == "MISS"


def test_what_another_replica_ends_after_its_tenant_was_deleted_is_not_kept(start, redis, deaf):  # noqa: F811
    replicas = replicas_of(start, redis, deaf, "auth, ")
    one = next(replicas)
    admin = Admin(one)

    def made():
        admin.tenant("acme")
        return {"Authorization": f"Bearer {admin.key('acme')['key']}"}

    key, two = made(), next(replicas)  # which would not hear of a new one
    with late_answer(one, two, key):
        assert admin("DELETE", "/tenants/acme", If_Match="*")[0] == 204
    assert ask(one, body("x" * 100), made())[0] == "MISS"


def test_what_begins_before_messages_are_heard_is_kept_by_the_store(start, redis, tmp_path):  # noqa: F811
    redis.start()
    begun = threading.Event()

    def loses(piece):
        if b"subscribe" in piece:
            begun.wait(60)
        return False

    relay = Relay(redis.socket, tmp_path / "relay.sock", loses)
    daemon = start(f'store: {{driver: redis, url: "redis+unix://{relay.path}", timeout: 5s}}\n'
                   + echo_config("plugins: [cache]\n", options=", options: {delay_us: 20000}"))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(ask, daemon, body("x" * 50))
        wait_until(lambda: daemon.metric("weir_requests_running") == 1, what="an answer that begins")
        begun.set()  # some message may have been missed until now
        assert first.result()[:2] == ("MISS", 200)
    wait_until(lambda: daemon.metric("weir_cache_kept_total") == 1, what="the store's word")
    assert ask(daemon, body("x" * 50))[:2] == ("HIT", 200)
    relay.close()


def test_without_the_store_memory_still_answers(start, redis):  # noqa: F811
    redis.start()
    store = f'store: {{driver: redis, url: "redis+unix://{redis.socket}", timeout: 200ms}}\n'
    plain = start(store + echo_config("plugins: [cache]\n"))
    strict = start(store + echo_config("plugins: [cache: {on_store_loss: deny}]\n"))
    for daemon in (plain, strict):
        assert ask(daemon, body())[1] == 200
        wait_until(lambda: ask(daemon, body())[0] == "HIT", what="the answer")  # noqa: B023
    redis.kill()
    for daemon in (plain, strict):
        assert ask(daemon, body())[:2] == ("HIT", 200)
    assert ask(plain, body("new"))[:2] == ("MISS", 200)
    status, head, answer = strict.request(CHAT, body("new"))
    assert status == 503 and answer["error"]["code"] == "cache_unavailable" and head["retry-after"]


def test_kept_answers_are_given_when_nothing_else_is(start):
    plain = echo_config("plugins: [cache]\n")
    daemon = start(plain)
    assert ask(daemon, body("known"))[0] == "MISS"
    ladder = "shedding: {interactive_ui: [{action: max_tokens, max_tokens: 4}, {action: cached_only}]}\n"
    daemon.file.write_text(plain + ladder)
    daemon.process.send_signal(signal.SIGHUP)
    texts = (f"unknown {i}" for i in range(10000))
    wait_until(lambda: ask(daemon, body(next(texts)))[1] == 503, what="the ladder")
    known = ask(daemon, body("known"))
    assert known[:2] == ("HIT", 200) and "known" in text_of(known[2])
