# SPDX-License-Identifier: Apache-2.0
"""Greedy texts equal llama.cpp's wherever llama.cpp agrees with itself.

The texts are in tests/golden/greedy/ (make_greedy.py). Asked over HTTP, sixteen at a time, through
template, tokenizer, scheduler and detokenizer.
"""
import concurrent.futures
import json

import pytest

from conftest import ROOT, Daemon, require_model

GOLDEN = sorted((ROOT / "tests" / "golden" / "greedy").glob("*.json"))


def ask(daemon, entry, max_tokens):
    where = "/v1/chat/completions" if "messages" in entry else "/v1/completions"
    given = {k: entry[k] for k in ("messages", "prompt") if k in entry}
    body = {**given, "temperature": 0, "max_tokens": max_tokens}
    status, _, answer = daemon.request(where, body, timeout=300)
    assert status == 200, answer
    choice = answer["choices"][0]
    return {"text": choice["message"]["content"] if "message" in choice else choice["text"],
            "finish_reason": choice["finish_reason"]}


def is_same(got, want):
    # A text that ends within a character: how its last bytes are shown is not the model's doing.
    def whole(text):
        return text.rstrip("\N{REPLACEMENT CHARACTER}")

    return (whole(got["text"]) == whole(want["text"])
            and got["finish_reason"] == want["finish_reason"])


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda p: p.stem)
def test_greedy_text_is_llama_cpps_where_it_is_sure(golden, binary, tmp_path):
    want = json.loads(golden.read_text())
    require_model(want["model"])
    daemon = Daemon(
        binary,
        tmp_path,
        f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  m: {{targets: [{{engine: {{backend: cpu, file: {want["model"]}, threads: 2}}}}]}}
""",
    )
    entries = want["prompts"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda e: ask(daemon, e, want["max_tokens"]), entries))
    assert daemon.stop() == 0, daemon.log_text()
    others = [(e, a) for e, a in zip(entries, answers) if not is_same(a, e)]
    for entry, answer in others:
        print(f"asked     {entry.get('prompt') or entry['messages']!r}\n"
              f"llama.cpp {entry['text']!r}\nweir      {answer['text']!r}\n")
    share = 1 - len(others) / len(entries)
    print(f"\n{golden.stem}: the same in {len(entries) - len(others)} of {len(entries)} = "
          f"{100 * share:.1f} % (llama.cpp agrees with itself in {len(entries)} of {want['n_prompts']})")
    assert want["n_prompts"] >= 120 and len(entries) >= 20
    assert share >= 0.95
