# SPDX-License-Identifier: Apache-2.0
"""An answer does not depend on what else runs, how a prompt is cut, or what is cached.

End to end through the HTTP API with real models; the bits beneath are the subject of the unit tests
cpu_decoders and scheduler_real_model."""

import concurrent.futures

import pytest

from conftest import ROOT, Daemon, require_model

MODELS = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma": "gemma-3-270m-q4_k_m.gguf"}
TEXTS = (ROOT / "tests" / "golden" / "logits" / "texts.txt").read_text()
LONG = TEXTS[10:1800]  # several hundred tokens: many pages, many chunks of a small budget
SHORT = "Once upon a time"


def start_daemon(binary, directory, model, extra):
    require_model(MODELS[model])
    return Daemon(
        binary,
        directory,
        f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  {model}: {{targets: [{{engine: {{backend: cpu, file: {MODELS[model]}, threads: 2{extra}}}}}]}}
""",
    )


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return request.param


@pytest.fixture(scope="module")
def daemon(binary, tmp_path_factory, model):
    d = start_daemon(binary, tmp_path_factory.mktemp(model), model, "")
    yield d
    assert d.stop() == 0, d.log_text()


def ask(daemon, prompt, **extra):
    """(text and logprobs, cached prompt tokens) of a completion; greedy unless asked otherwise"""
    body = {"prompt": prompt, "max_tokens": 32, "temperature": 0, "ignore_eos": True, "logprobs": 3,
            **extra}
    status, _, answer = daemon.request("/v1/completions", body, timeout=300)
    assert status == 200, answer
    said = [(c["text"], c["logprobs"]) for c in answer["choices"]]
    return said, answer["usage"]["prompt_tokens_details"]["cached_tokens"]


def ask_all(daemon, requests):
    """The answers to (prompt, parameters) that are sent at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda r: ask(daemon, r[0], **r[1])[0], requests))


def company(n):
    """Requests of many kinds, to share the batch with."""
    return [(TEXTS[300 * i:300 * i + 40 * (i + 1)],
             {"temperature": i % 3 / 2, "seed": i, "max_tokens": 8 + 3 * i, "top_k": 5 * (i % 4),
              "frequency_penalty": i % 2}) for i in range(n)]


def test_cold_and_cached_answers_are_equal(daemon):
    prompt = "Cold. " + LONG  # no other test has seen it
    cold, n_cached = ask(daemon, prompt)
    assert n_cached == 0
    cached, n_cached = ask(daemon, prompt)
    assert n_cached > 200
    assert cached == cold
    # A prefix of it, cached in part, and the same prefix behind another beginning.
    longer, n_cached = ask(daemon, prompt + " And then")
    assert n_cached > 200
    assert longer != cold


def test_greedy_answers_are_equal_alone_and_in_sixteen(daemon):
    alone = [ask(daemon, p)[0] for p in (SHORT, LONG)]
    mixed = ask_all(daemon, [(SHORT, {}), (LONG, {}), *company(14)])
    assert mixed[:2] == alone
    sixteen = ask_all(daemon, [((SHORT, LONG)[i % 2], {}) for i in range(16)])
    assert sixteen == alone * 8


def test_a_seed_gives_the_same_whatever_else_runs(daemon):
    sampled = {"temperature": 1, "seed": 42, "top_p": 0.95, "repetition_penalty": 1.1}
    alone = ask(daemon, SHORT, **sampled)[0]
    assert alone != ask(daemon, SHORT, **{**sampled, "seed": 43})[0]
    assert ask_all(daemon, [(SHORT, sampled), *company(15)])[0] == alone
    assert ask_all(daemon, [*company(9), (SHORT, sampled)])[-1] == alone
    several = ask(daemon, SHORT, **sampled, n=4)[0]
    assert several[0] == alone[0] and len({text for text, _ in several}) > 1


def test_a_prompt_in_chunks_gives_the_same(binary, tmp_path, daemon, model):
    whole = ask(daemon, "Chunks. " + LONG)[0]
    small = start_daemon(binary, tmp_path, model, ", step_budget: 32, max_batch: 2")
    try:
        assert ask(small, "Chunks. " + LONG)[0] == whole
        mixed = ask_all(small, [("Chunks. " + LONG, {"n": 2}), ("Chunks. " + LONG, {}), *company(6)])
        assert mixed[0] == whole * 2 and mixed[1] == whole
    finally:
        assert small.stop() == 0
