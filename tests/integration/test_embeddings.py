# SPDX-License-Identifier: Apache-2.0
"""POST /v1/embeddings over upstreams: forwarded, answered, counted, limited and billed."""

import openai
import pytest

import billing
from conftest import echo_config, wait_until
from test_upstream import HELLO, mock_upstream

VECTORS = "/v1/embeddings"


@pytest.fixture
def mock():
    with mock_upstream.Server() as server:
        yield server


def config(mock, models, more=""):
    lines = "".join(f"  {m}: {{targets: [{{upstream: {{url: 'http://127.0.0.1:{mock.port}/v1', model: {m}}}}}]}}\n"
                    for m in models)
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
gateway: {{retries: {{attempts: 0}}, ejection: {{consecutive_errors: 0, success_percent: 0}}}}
models:
{lines}{more}"""


def client(daemon):
    return openai.OpenAI(base_url=daemon.url + "/v1", api_key="x", max_retries=0)


def test_inputs_of_every_kind_are_answered(start, mock):
    daemon = start(config(mock, ["embed"]))
    ask = client(daemon).embeddings.create
    answer = ask(model="embed", input="abc")  # the library asks for base64
    assert answer.data[0].embedding == [0, 3] and answer.model == "embed" and answer.object == "list"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 9
    head, body = mock.last
    assert head.startswith("POST /v1/embeddings HTTP/1.1\r\n") and body["encoding_format"] == "base64"
    answer = ask(model="embed", input=["a", "bb", "h\u00e9 \"q\""], encoding_format="float", dimensions=2, user="u1")
    assert [(d.index, d.embedding) for d in answer.data] == [(0, [0, 1]), (1, [1, 2]), (2, [2, 6])]
    assert mock.last[1] == {"model": "embed", "input": ["a", "bb", "h\u00e9 \"q\""], "dimensions": 2, "user": "u1"}
    assert ask(model="embed", input=[5, 6, 7], encoding_format="float").data[0].embedding == [0, 3]
    assert len(ask(model="embed", input=[[5], [6, 7]], encoding_format="float").data) == 2
    many = [f"text {i}" for i in range(2048)]
    assert len(ask(model="embed", input=many).data) == 2048
    wait_until(lambda: daemon.metric("weir_requests_running") == 0, what="no request runs")


def test_an_upstreams_order_is_kept(start, mock):
    daemon = start(config(mock, ["embed_reversed"]))
    answer = client(daemon).embeddings.create(model="embed_reversed", input=["a", "bb"], encoding_format="float")
    assert [(d.index, d.embedding) for d in answer.data] == [(1, [1, 2]), (0, [0, 1])]


@pytest.mark.parametrize("fault", ["embed_less", "embed_twice", "embed_text", "embed_nothing", "ok", "no_json",
                                   "status_500", "reset_before", "length_too_short"])
def test_a_wrong_answer_is_a_well_formed_error(start, mock, fault):
    daemon = start(config(mock, [fault]))
    status, _, body = daemon.request(VECTORS, {"model": fault, "input": ["a", "bb"]})
    assert status == 502 and body["error"]["code"].startswith("upstream_"), body


@pytest.mark.parametrize("body, param", [
    ({}, "input"), ({"input": ""}, "input"), ({"input": []}, "input"), ({"input": [[]]}, "input"),
    ({"input": ["a", ""]}, "input"), ({"input": [1, "a"]}, "input"), ({"input": ["a", 1]}, "input"),
    ({"input": [-1]}, "input"), ({"input": [1.5]}, "input"), ({"input": {"a": 1}}, "input"),
    ({"input": ["a"] * 2049}, "input"), ({"input": "a", "dimensions": 0}, "dimensions"),
    ({"input": "a", "encoding_format": "int8"}, "encoding_format"), ({"input": "a", "stream": True}, "stream"),
    ({"input": "a", "messages": []}, "messages")])
def test_what_is_wrong_is_named(start, mock, body, param):
    daemon = start(config(mock, ["embed"]))
    status, _, answer = daemon.request(VECTORS, {"model": "embed", **body})
    assert (status, answer["error"]["param"]) == (400, param), answer
    assert mock.n_requests == 0


def test_a_model_of_this_process_makes_none(start):
    daemon = start(echo_config())
    status, _, body = daemon.request(VECTORS, {"model": "echo", "input": "x"})
    assert (status, body["error"]["code"], body["error"]["param"]) == (400, "model_not_supported", "model")
    assert "embeddings" in body["error"]["message"]
    assert daemon.request(VECTORS, {"model": "other", "input": "x"})[0] == 404


def test_a_failed_target_is_not_the_end(start, mock):
    url = f"http://127.0.0.1:{mock.port}/v1"
    daemon = start(f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  m: {{targets: [{{upstream: {{url: '{url}', model: status_500}}}}, {{upstream: {{url: '{url}', model: embed}}}}]}}
plugins: [breaker]
""")
    for _ in range(10):
        assert daemon.request(VECTORS, {"model": "m", "input": "abc"})[0] == 200
    assert daemon.metric("weir_breaker_state", dependency="m/1") == 0


def test_its_tokens_are_limited_and_billed(start, mock, tmp_path):
    plugins = f"""plugins:
  - ratelimit: {{limits: {{global: {{tokens_per_minute: 25}}}}}}
  {billing.plugin(tmp_path)}
"""
    daemon = start(config(mock, ["embed"], plugins))
    status, head, _ = daemon.request(VECTORS, {"model": "embed", "input": "abc"})
    assert status == 200 and int(head["x-ratelimit-remaining-tokens"]) < 25
    statuses = [daemon.request(VECTORS, {"model": "embed", "input": "abc"})[0] for _ in range(5)]
    assert statuses[0] == 200 and statuses[-1] == 429
    n = 1 + statuses.count(200)
    wait_until(lambda: len(billing.ledger(daemon)) == n, what=lambda: f"{n} entries: {billing.ledger(daemon)}")
    for entry in billing.ledger(daemon):
        assert (entry["prompt_tokens"], entry["completion_tokens"]) == (9, 0), entry
    assert "prompt=9" in daemon.log_text()


def test_policies_of_text_leave_them_alone(start, mock, tmp_path):
    policy = tmp_path / "p.lua"
    policy.write_text("function on_chunk() return weir.replace('x') end\n")
    daemon = start(config(mock, ["embed", "ok"], f"""plugins: [auth, lua]
tenants:
  good: {{policy: {policy}, keys: [{{name: k, secret: a-key-of-the-tenant-good}}]}}
"""))
    key = {"Authorization": "Bearer a-key-of-the-tenant-good"}
    answer = daemon.request(VECTORS, {"model": "embed", "input": "abc"}, key)[2]
    assert answer["data"][0]["embedding"] == [0, 3], answer
    answer = daemon.request("/v1/chat/completions", {"model": "ok", "messages": HELLO}, key)[2]
    assert answer["choices"][0]["message"]["content"] == "x", answer
