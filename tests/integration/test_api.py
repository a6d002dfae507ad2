# SPDX-License-Identifier: Apache-2.0
"""The wire: what any OpenAI client relies on, over the echo backend."""

import json

import openai
import pytest

from conftest import ROOT, echo_config

HELLO = [{"role": "user", "content": "hello"}]


def client(daemon, **options):
    return openai.OpenAI(base_url=daemon.url + "/v1", api_key="none", **options)


def test_chat_answers_with_usage(echo):
    answer = client(echo).chat.completions.create(model="echo", messages=HELLO)
    assert answer.choices[0].message.content == "hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 5
    assert answer.usage.completion_tokens == 6
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert answer.id.startswith("chatcmpl-")


def test_stream_equals_whole(echo):
    text, usage, finish = "", None, None
    for chunk in client(echo).chat.completions.create(
        model="echo", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ):
        if chunk.usage:
            usage = chunk.usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert (text, finish) == ("hello", "stop")
    assert usage.total_tokens == 11


def test_completions_and_choices(echo):
    answer = client(echo).completions.create(model="echo", prompt="abc", n=3, max_tokens=2)
    assert [c.text for c in answer.choices] == ["ab"] * 3
    assert {c.finish_reason for c in answer.choices} == {"length"}
    assert answer.usage.completion_tokens == 6


def test_completion_echo_brings_the_prompt(echo):
    answer = client(echo).completions.create(model="echo", prompt="abc", echo=True)
    assert answer.choices[0].text == "abcabc"


def test_stop_string_ends_the_text(echo):
    answer = client(echo).chat.completions.create(model="echo", messages=HELLO, stop=["ll"])
    assert answer.choices[0].message.content == "he"
    assert answer.choices[0].finish_reason == "stop"


def test_models_are_listed(echo):
    c = client(echo)
    assert [m.id for m in c.models.list()] == ["echo"]
    assert c.models.retrieve("echo").id == "echo"
    with pytest.raises(openai.NotFoundError):
        c.models.retrieve("nope")


def test_tokens_there_and_back(echo):
    assert echo.request("/tokenize", {"content": "hi"})[2]["tokens"] == [104, 105]
    assert echo.request("/detokenize", {"tokens": [104, 105]})[2]["content"] == "hi"
    status, _, body = echo.request("/detokenize", {"tokens": [1 << 30]})
    assert status == 400 and body["error"]["param"] == "tokens"


def test_embeddings_say_what_is_missing(echo):
    with pytest.raises(openai.BadRequestError) as e:
        client(echo).embeddings.create(model="echo", input="x")
    assert "embeddings" in e.value.message


BAD_REQUESTS = [
    ({"messages": HELLO, "bogus": 1}, 400, "bogus"),
    ({"messages": HELLO, "temperature": 3}, 400, "temperature"),
    ({"messages": HELLO, "n": 0}, 400, "n"),
    ({"messages": HELLO, "max_tokens": "5"}, 400, "max_tokens"),
    ({"messages": []}, 400, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages[0].content[0].type"),
    ({"messages": HELLO, "model": "nope"}, 404, "model"),
    ({"messages": HELLO, "logit_bias": {"99999999": 1}}, 400, "logit_bias"),
    ({"messages": [{"role": "user", "content": "x" * 10000}]}, 400, "messages"),
    ({"messages": HELLO, "max_tokens": 100000}, 400, "max_tokens"),
    ({"messages": HELLO, "tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools"),
]


@pytest.mark.parametrize("body,status,param", BAD_REQUESTS)
def test_bad_parameters_are_named(echo, body, status, param):
    got, headers, answer = echo.request("/v1/chat/completions", body)
    assert got == status
    assert answer["error"]["param"] == param
    assert answer["error"]["type"] == "invalid_request_error"
    assert headers["x-request-id"]


BAD_BODIES = [b"", b"{", b"[]", b'{"messages":[],"messages":[]}', b'{"a":"\xff"}', b'{"a":"\\ud800"}',
              b'{"messages":' + b"[" * 100 + b"]" * 100 + b"}", b'{"n":1e999}', b"\xef\xbb\xbf{}", b"null"]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_bad_json_is_refused(echo, body):
    status, _, answer = echo.request("/v1/chat/completions", body, method="POST")
    assert status == 400
    assert answer["error"]["code"] in ("invalid_json", "missing_required_parameter", "invalid_type")
    assert echo.request("/v1/chat/completions", {"messages": HELLO})[0] == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"])
def test_hostile_bodies_harm_nobody(echo, path):
    corpus = sorted((ROOT / "tests" / "corpus" / "api").iterdir())
    assert len(corpus) >= 35
    for file in corpus:
        status, headers, body = echo.request(path, file.read_bytes(), method="POST")
        assert status in (200, 400, 404), (file.name, status)
        assert headers["x-request-id"]
        if status != 200:
            assert body["error"]["message"], file.name
    assert echo.request("/v1/chat/completions", {"messages": HELLO})[0] == 200


def test_context_overflow_has_its_code(echo):
    with pytest.raises(openai.BadRequestError) as e:
        client(echo).chat.completions.create(
            model="echo", messages=[{"role": "user", "content": "x" * 10000}]
        )
    assert e.value.code == "context_length_exceeded"


def test_every_response_has_the_request_id(echo):
    for path, body in [("/v1/models", None), ("/nope", None), ("/v1/chat/completions", {}), ("/tokenize", {})]:
        assert echo.request(path, body)[1]["x-request-id"].startswith("req_")
    assert echo.request("/v1/models", headers={"x-request-id": "abc-1"})[1]["x-request-id"] == "abc-1"
    assert echo.request("/v1/models", headers={"x-request-id": "a b"})[1]["x-request-id"].startswith("req_")


def test_server_timing_and_sse_headers(echo):
    raw = client(echo).chat.completions.with_raw_response.create(model="echo", messages=HELLO)
    assert "queue;dur=" in raw.headers["server-timing"]
    assert "prefill;dur=" in raw.headers["server-timing"]
    with client(echo).chat.completions.with_streaming_response.create(
        model="echo", messages=HELLO, stream=True
    ) as response:
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-cache"
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"
    for line in lines[:-1]:
        json.loads(line.removeprefix("data: "))


def test_wrong_methods_and_paths(echo):
    status, headers, _ = echo.request("/v1/models", {}, method="POST")
    allowed = sorted(headers["allow"].split(", "))
    assert (status, allowed) == (405, ["GET", "HEAD", "OPTIONS"])
    assert echo.request("/v1/chat/completions", method="GET")[0] == 405
    assert echo.request("/v2/models")[0] == 404
    assert echo.request("/v1/models", method="HEAD")[0] == 200


def test_model_may_be_left_out_where_there_is_one(echo):
    assert echo.request("/v1/chat/completions", {"messages": HELLO})[0] == 200


def test_model_must_be_named_where_there_are_several(start):
    daemon = start(echo_config("  other:\n    targets: [{engine: {backend: echo}}]"))
    for path, body in (("/v1/chat/completions", {"messages": HELLO}), ("/tokenize", {"content": "a"})):
        status, _, answer = daemon.request(path, body)
        assert (status, answer["error"]["param"]) == (400, "model"), path
        assert answer["error"]["code"] == "missing_required_parameter"
    assert daemon.request("/v1/chat/completions", {"messages": HELLO, "model": "other"})[0] == 200


def test_long_prompts_are_prepared_aside(start):
    daemon = start(echo_config(options=", context: 100000"))
    text = "y" * 60000
    answer = client(daemon).chat.completions.create(
        model="echo", messages=[{"role": "user", "content": text}], max_tokens=100
    )
    assert answer.choices[0].message.content == "y" * 100
