# SPDX-License-Identifier: Apache-2.0
"""The official `openai` client, unpatched, against real models."""

import asyncio
import json
import math
import subprocess
import sys
import threading

import openai
import pydantic
import pytest

from conftest import Daemon, echo_config, models_dir, require_model, wait_until

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA = "gemma-3-270m-q4_k_m.gguf"
# SmolLM2's own template with the Hermes (Qwen 2.5) way of tools, which it shares its markers with.
TOOL_TEMPLATE = """\
{%- if tools %}<|im_start|>system
You may call functions. Signatures:
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
Answer with <tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
ASK = [{"role": "user", "content": "Tell me about the sea."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "minLength": 1, "maxLength": 20},
                "unit": {"enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
HELLO = [{"role": "user", "content": "Hello!"}]
ASK_WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def daemon(binary, tmp_path_factory):
    require_model(SMOLLM2)
    require_model(GEMMA)
    directory = tmp_path_factory.mktemp("openai")
    (directory / "template").write_text(TOOL_TEMPLATE)
    subprocess.run(
        [sys.executable, "-m", "gguf.scripts.gguf_new_metadata", "--force", "--chat-template-file",
         directory / "template", models_dir() / SMOLLM2, directory / "tools.gguf"],
        check=True, capture_output=True,
    )
    d = Daemon(
        binary,
        directory,
        f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  smollm2: {{targets: [{{engine: {{backend: cpu, file: {SMOLLM2}, threads: 2}}}}]}}
  gemma: {{targets: [{{engine: {{backend: cpu, file: {GEMMA}, threads: 2}}}}]}}
  tools: {{targets: [{{engine: {{backend: cpu, file: {directory}/tools.gguf, threads: 2}}}}]}}
""",
    )
    (directory / "tools.gguf").unlink()  # mapped or packed by now; 100 MB less in tmp
    yield d
    assert d.stop() == 0, d.log_text()


def options(daemon, extra):
    return {"base_url": daemon.url + "/v1", "api_key": "none", "timeout": 120, "max_retries": 0, **extra}


def make_client(daemon, **extra):
    return openai.OpenAI(**options(daemon, extra))


@pytest.fixture
def client(daemon):
    with make_client(daemon) as c:
        yield c


def chat(client, **extra):
    args = {"model": "smollm2", "messages": ASK, "temperature": 0, "max_completion_tokens": 24}
    return client.chat.completions.create(**{**args, **extra})


def joined(chunks):
    """(text, finish reason, usage) of a stream of one choice"""
    text, finish, usage = "", None, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage


# --- chat and streams -----------------------------------------------------------------------------


def test_a_chat_has_what_the_client_reads(client):
    answer = chat(client)
    assert answer.object == "chat.completion" and answer.model == "smollm2" and answer.created > 0
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and choice.message.content.strip()
    assert choice.message.tool_calls is None and choice.message.refusal is None
    assert choice.finish_reason == "length"
    usage = answer.usage
    assert usage.completion_tokens == 24
    assert usage.total_tokens == usage.prompt_tokens + 24
    assert usage.prompt_tokens_details.cached_tokens >= 0
    assert answer._request_id.startswith("req_")


def test_a_stream_says_the_same_as_the_whole(client):
    want = chat(client)
    text, finish, usage = joined(chat(client, stream=True, stream_options={"include_usage": True}))
    assert (text, finish) == (want.choices[0].message.content, "length")
    assert usage.completion_tokens == 24 and usage.prompt_tokens == want.usage.prompt_tokens
    assert joined(chat(client, stream=True))[2] is None


def test_the_async_client_streams_many_at_once(daemon):
    async def one(client):
        stream = await client.chat.completions.create(
            model="smollm2", messages=ASK, temperature=0, max_completion_tokens=24, stream=True
        )
        chunks = [chunk async for chunk in stream]
        return joined(chunks)

    async def all_of_them():
        async with openai.AsyncOpenAI(**options(daemon, {})) as client:
            return await asyncio.gather(*(one(client) for _ in range(6)))

    answers = asyncio.run(all_of_them())
    assert len(set(answers)) == 1 and answers[0][0]


def test_the_stream_helper_gathers_events(client):
    with client.chat.completions.stream(
        model="smollm2", messages=HELLO, temperature=0, logprobs=True
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    want = chat(client, messages=HELLO, max_completion_tokens=100, logprobs=True)
    assert {"chunk", "content.delta", "content.done", "logprobs.content.delta"} <= kinds
    assert final.choices[0].message.content == want.choices[0].message.content
    assert final.choices[0].logprobs.content == want.choices[0].logprobs.content


def test_turns_and_parts_of_a_message_are_read(client):
    parts = [{"type": "text", "text": "Tell me "}, {"type": "text", "text": "about the sea."}]
    assert chat(client, messages=[{"role": "user", "content": parts}]).choices == chat(client).choices
    turns = [{"role": "system", "content": "You are terse."}, *ASK,
             {"role": "assistant", "content": "It is big."}, {"role": "user", "content": "More."}]
    longer = chat(client, messages=turns)
    assert longer.usage.prompt_tokens > chat(client).usage.prompt_tokens
    assert longer.choices[0].message.content


def test_gemma_without_a_template_of_its_own_chats(client):
    answer = chat(client, model="gemma")
    assert answer.usage.completion_tokens > 0 and answer.choices[0].finish_reason in ("stop", "length")


# --- tools ----------------------------------------------------------------------------------------


def tool_chat(client, **extra):
    return chat(client, **{"model": "tools", "messages": ASK_WEATHER, "tools": [WEATHER, CLOCK],
                           "max_completion_tokens": 120, **extra})


def test_a_required_tool_is_called(client):
    choice = tool_chat(client, tool_choice="required").choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    call = choice.message.tool_calls[0]
    assert call.type == "function" and call.id
    assert call.function.name in ("get_weather", "get_time")
    assert isinstance(json.loads(call.function.arguments), dict)


NAMED = {"type": "function", "function": {"name": "get_weather"}}


def test_a_named_tool_is_called_by_its_schema(client):
    for temperature in (0, 1.5):
        choice = tool_chat(client, tool_choice=NAMED, temperature=temperature, seed=3).choices[0]
        call = choice.message.tool_calls[0]
        assert call.function.name == "get_weather" and len(choice.message.tool_calls) == 1
        arguments = json.loads(call.function.arguments)
        assert set(arguments) == {"city", "unit"} and arguments["unit"] in ("celsius", "fahrenheit")


def test_tool_calls_stream_in_pieces(client):
    whole = tool_chat(client, tool_choice=NAMED).choices[0].message.tool_calls[0]
    calls, finish, ids = {}, None, set()
    for chunk in tool_chat(client, tool_choice=NAMED, stream=True):
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for piece in choice.delta.tool_calls or []:
                calls.setdefault(piece.index, ["", ""])
                calls[piece.index][0] += piece.function.name or ""
                calls[piece.index][1] += piece.function.arguments or ""
                ids |= {piece.id} - {None}
    assert finish == "tool_calls" and len(ids) == 1
    assert calls == {0: [whole.function.name, whole.function.arguments]}


def test_the_stream_helper_parses_tools(client):
    strict = json.loads(json.dumps(WEATHER))
    strict["function"]["strict"] = True
    with client.chat.completions.stream(
        model="tools", messages=ASK_WEATHER, tools=[strict], tool_choice="required", temperature=0,
        max_completion_tokens=120,
    ) as stream:
        final = stream.get_final_completion()
    parsed = final.choices[0].message.tool_calls[0].function.parsed_arguments
    assert set(parsed) == {"city", "unit"}


def test_auto_and_none_leave_it_to_the_model(client):
    choice = tool_chat(client, tool_choice="none").choices[0]
    assert choice.message.tool_calls is None and choice.finish_reason in ("stop", "length")
    choice = tool_chat(client, tool_choice="auto").choices[0]
    assert choice.finish_reason in ("stop", "length", "tool_calls")
    assert (choice.finish_reason == "tool_calls") == bool(choice.message.tool_calls)
    assert choice.message.content or choice.message.tool_calls


def test_a_round_trip_brings_the_result_back(client):
    message = tool_chat(client, tool_choice=NAMED).choices[0].message
    call = message.tool_calls[0]
    messages = [*ASK_WEATHER, message,
                {"role": "tool", "tool_call_id": call.id, "content": "It is sunny, 21 degrees."}]
    answer = tool_chat(client, messages=messages, tool_choice="none")
    assert answer.choices[0].message.content
    without = tool_chat(client, tool_choice="none")
    assert answer.usage.prompt_tokens > without.usage.prompt_tokens + 15


def test_tools_that_cannot_be_are_refused(client):
    for args, word in [
        ({"model": "smollm2"}, "tools"),
        ({"tool_choice": {"type": "function", "function": {"name": "nope"}}}, "nope"),
        ({"tools": openai.NOT_GIVEN, "tool_choice": "required"}, "tool_choice"),
    ]:
        with pytest.raises(openai.BadRequestError) as e:
            tool_chat(client, **args)
        assert word in e.value.message


# --- constrained output ---------------------------------------------------------------------------


class City(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=20)
    inhabitants: int = pydantic.Field(ge=0, le=99_999_999)
    is_capital: bool


def test_json_object(client):
    answer = chat(client, response_format={"type": "json_object"}, max_completion_tokens=200,
                  messages=[{"role": "user", "content": "Describe Paris as JSON."}])
    text = answer.choices[0].message.content
    assert text.lstrip().startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


def test_json_schema(client):
    schema = {"name": "city", "strict": True, "schema": City.model_json_schema()}
    for temperature in (0, 1.3):
        answer = chat(client, response_format={"type": "json_schema", "json_schema": schema},
                      max_completion_tokens=200, temperature=temperature, seed=5)
        assert answer.choices[0].finish_reason == "stop"
        City.model_validate_json(answer.choices[0].message.content)


def test_parse_gives_a_model_object(client):
    answer = client.chat.completions.parse(
        model="smollm2", messages=[{"role": "user", "content": "Describe Paris."}],
        response_format=City, temperature=0, max_completion_tokens=200,
    )
    assert isinstance(answer.choices[0].message.parsed, City)


def test_parse_says_when_the_text_was_cut(client):
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(
            model="smollm2", messages=ASK, response_format=City, max_completion_tokens=2
        )


def test_a_stream_of_json_is_parsed(client):
    with client.chat.completions.stream(
        model="smollm2", messages=ASK, response_format=City, temperature=0, max_completion_tokens=200
    ) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, City)


# --- sampling -------------------------------------------------------------------------------------


def test_logprobs_are_those_of_the_tokens(client):
    choice = chat(client, logprobs=True, top_logprobs=4).choices[0]
    content = choice.logprobs.content
    assert len(content) == 24
    text = b"".join(bytes(t.bytes) for t in content).decode(errors="replace")
    assert text == choice.message.content
    for token in content:
        assert len(token.top_logprobs) == 4
        values = [t.logprob for t in token.top_logprobs]
        assert values == sorted(values, reverse=True) and values[0] <= 0
        assert sum(math.exp(v) for v in values) <= 1.0001
        assert token.token == token.top_logprobs[0].token  # greedy
        assert token.logprob == values[0]


def test_streamed_logprobs_equal_the_whole(client):
    want = chat(client, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    got = []
    for chunk in chat(client, logprobs=True, top_logprobs=2, stream=True):
        for choice in chunk.choices:
            if choice.logprobs:
                got += choice.logprobs.content
    assert got == want


def test_several_choices(client):
    answer = chat(client, n=3, temperature=1, seed=11)
    texts = [c.message.content for c in answer.choices]
    assert [c.index for c in answer.choices] == [0, 1, 2] and len(set(texts)) > 1
    assert answer.usage.completion_tokens <= 3 * 24
    streamed = ["", "", ""]
    for chunk in chat(client, n=3, temperature=1, seed=11, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts
    assert len({c.message.content for c in chat(client, n=3).choices}) == 1


def test_the_seed_decides(client):
    texts = [chat(client, temperature=1, seed=s).choices[0].message.content for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    free = {chat(client, temperature=1.5).choices[0].message.content for _ in range(3)}
    assert len(free) > 1


def test_stop_ends_before_the_string(client):
    whole = chat(client).choices[0].message.content
    word = whole.split()[5]
    choice = chat(client, stop=[word, "never said"]).choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.content == whole[: whole.index(word)]
    text, finish, _ = joined(chat(client, stop=word, stream=True))
    assert (text, finish) == (choice.message.content, "stop")


def test_logit_bias_bans_and_forces(client, daemon):
    first = chat(client, max_completion_tokens=1, logprobs=True).choices[0]
    token = daemon.request("/tokenize", {"model": "smollm2", "content": first.message.content})[2]["tokens"][0]
    banned = chat(client, max_completion_tokens=1, logit_bias={token: -100}).choices[0]
    assert banned.message.content != first.message.content
    word = daemon.request("/tokenize", {"model": "smollm2", "content": " fish"})[2]["tokens"]
    forced = chat(client, max_completion_tokens=3, logit_bias={word[0]: 100}).choices[0]
    assert forced.message.content == " fish fish fish"


# --- completions, models, embeddings --------------------------------------------------------------


PROMPT = "The capital of France is"
BOS = 2  # gemma's


def complete(client, **extra):
    args = {"model": "gemma", "prompt": PROMPT, "temperature": 0, "max_tokens": 8}
    return client.completions.create(**{**args, **extra})


def test_completions(client):
    answer = complete(client)
    assert answer.object == "text_completion" and answer.choices[0].text.strip()
    assert answer.usage.completion_tokens == 8
    text = "".join(c.choices[0].text for c in complete(client, stream=True) if c.choices)
    assert text == answer.choices[0].text


def test_completion_echo_brings_the_prompt(client):
    assert complete(client, echo=True).choices[0].text == PROMPT + complete(client).choices[0].text
    with pytest.raises(openai.BadRequestError) as e:
        complete(client, echo=True, logprobs=2)
    assert e.value.param == "echo"


def test_completion_logprobs(client):
    choice = complete(client, logprobs=2).choices[0]
    columns = choice.logprobs
    assert "".join(columns.tokens) == choice.text and len(columns.tokens) == 8
    assert columns.text_offset == [len("".join(columns.tokens[:i])) for i in range(8)]
    for token, value, top in zip(columns.tokens, columns.token_logprobs, columns.top_logprobs):
        assert len(top) == 2 and top[token] == value == max(top.values())


def test_completion_takes_token_ids(client, daemon):
    ids = daemon.request("/tokenize", {"model": "gemma", "content": PROMPT})[2]["tokens"]
    want, got = complete(client), complete(client, prompt=[BOS, *ids])
    assert got.choices == want.choices and got.usage.prompt_tokens == want.usage.prompt_tokens


def test_a_suffix_is_refused(client):
    with pytest.raises(openai.BadRequestError) as e:
        complete(client, suffix="!")
    assert e.value.param == "suffix"


def test_models(client):
    assert {m.id for m in client.models.list()} == {"smollm2", "gemma", "tools"}
    model = client.models.retrieve("gemma")
    assert model.id == "gemma" and model.object == "model" and model.owned_by


def test_embeddings_say_what_is_missing(client):
    with pytest.raises(openai.BadRequestError) as e:
        client.embeddings.create(model="smollm2", input="x")
    assert "embeddings" in e.value.message


# --- errors and retries ---------------------------------------------------------------------------


def test_errors_have_their_classes(client, daemon):
    with pytest.raises(openai.BadRequestError) as e:
        chat(client, temperature=9)
    assert (e.value.status_code, e.value.param) == (400, "temperature")
    assert e.value.code and e.value.type == "invalid_request_error"
    assert e.value.request_id.startswith("req_")
    with pytest.raises(openai.NotFoundError) as e:
        chat(client, model="nope")
    assert e.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nope")
    with pytest.raises(openai.NotFoundError):
        client.files.list()
    with pytest.raises(openai.BadRequestError) as e:
        chat(client, messages=[{"role": "user", "content": "word " * 20000}])
    assert e.value.code == "context_length_exceeded"
    with pytest.raises(openai.APITimeoutError):
        chat(make_client(daemon, timeout=0.05), max_completion_tokens=2000, temperature=1)


def test_a_missing_key_is_an_authentication_error(start):
    daemon = start(echo_config("plugins: [auth]\ntenants:\n  acme: {keys: [{name: a, secret: sk-acme-1}]}\n"))
    with pytest.raises(openai.AuthenticationError) as e:
        chat(make_client(daemon, api_key="sk-wrong"), model="echo")
    assert e.value.code == "invalid_api_key"
    assert chat(make_client(daemon, api_key="sk-acme-1"), model="echo").choices


def test_a_model_that_cannot_run_is_an_internal_server_error(start, tmp_path):
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    daemon = start(
        f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  bad: {{targets: [{{engine: {{backend: cpu, file: {tmp_path}/bad.gguf}}}}]}}
"""
    )
    with pytest.raises(openai.InternalServerError) as e:
        chat(make_client(daemon), model="bad")
    assert e.value.status_code == 503
    assert float(e.value.response.headers["retry-after"]) > 0


def full_daemon(start):
    """A daemon whose one model is busy and whose queue is full, and the streams that fill it."""
    config = echo_config(options=", max_batch: 1, options: {delay_us: 10000}").replace(
        "    targets:", "    queue: {size: 1, timeout: 30s}\n    targets:"
    )
    daemon = start(config)
    queue = daemon.request("/admin/v1/models", admin=True)[2][0]["queue"]
    places = int(queue["places"]["interactive_ui"])
    long = {"messages": [{"role": "user", "content": "x" * 80}]}
    threads = [threading.Thread(target=daemon.request, args=("/v1/chat/completions", long))
               for _ in range(places + 1)]
    for t in threads:
        t.start()
    wait_until(lambda: daemon.metric("weir_requests_running") == places
               and daemon.metric("weir_requests_waiting") == 1, what="the queue is full")
    return daemon, threads


def test_a_full_queue_is_a_rate_limit_error_with_a_time(start):
    daemon, threads = full_daemon(start)
    with pytest.raises(openai.RateLimitError) as e:
        chat(make_client(daemon), model="echo")
    assert e.value.code == "queue_full"
    headers = e.value.response.headers
    assert float(headers["retry-after"]) >= 1 and int(headers["retry-after-ms"]) > 0
    assert headers.get("x-should-retry") != "false"
    for t in threads:
        t.join()


def test_the_client_comes_again_when_told(start):
    daemon, threads = full_daemon(start)
    answer = chat(make_client(daemon, max_retries=60), model="echo")
    assert answer.choices[0].message.content == ASK[0]["content"][:23]
    assert daemon.metric("weir_requests_rejected_total", reason="queue_full") >= 1
    for t in threads:
        t.join()


def test_what_the_client_gives_up_stops(client, daemon):
    stream = chat(client, stream=True, max_completion_tokens=4000, temperature=1.2)
    next(iter(stream))
    before = daemon.metric("weir_completion_tokens_total", model="smollm2")
    stream.close()
    wait_until(lambda: daemon.metric("weir_batch_sequences") == 0, what="the sequence left")
    assert daemon.metric("weir_completion_tokens_total", model="smollm2") - before < 2000
    assert daemon.metric("weir_requests_running") == 0
    assert chat(client).choices[0].message.content


def test_an_async_task_that_is_cancelled_stops(daemon):
    async def give_up():
        async with openai.AsyncOpenAI(**options(daemon, {})) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.chat.completions.create(
                    model="smollm2", messages=ASK, max_completion_tokens=4000, temperature=1.2,
                    extra_body={"ignore_eos": True}), 0.5)

    asyncio.run(give_up())
    wait_until(lambda: daemon.metric("weir_batch_sequences") == 0, what="the sequence left")


def test_the_request_id_goes_there_and_back(client):
    raw = client.chat.completions.with_raw_response.create(
        model="smollm2", messages=ASK, max_completion_tokens=1, extra_headers={"x-request-id": "mine-1"}
    )
    assert raw.headers["x-request-id"] == "mine-1" and raw.parse()._request_id == "mine-1"
