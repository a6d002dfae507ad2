# SPDX-License-Identifier: Apache-2.0
"""The daemon for 64-bit ARM, under an emulator: `scripts/test neon` names it in --weir.

The processor's instructions are found, and greedy text equals llama.cpp's. A token takes about a
second, so that of the texts in tests/golden/greedy/ only the start of one is asked.
"""
import json

from conftest import ROOT, Daemon, require_model

GOLDEN = ROOT / "tests" / "golden" / "greedy" / "SmolLM2-135M-Instruct.Q4_1.json"
PROMPT, N_TOKENS = "1, 2, 3, 4, 5, 6, 7,", 8


def test_greedy_text_on_arm_is_llama_cpps(binary, tmp_path):
    golden = json.loads(GOLDEN.read_text())
    require_model(golden["model"])
    want = next(e["text"] for e in golden["prompts"] if e.get("prompt") == PROMPT)
    daemon = Daemon(
        binary,
        tmp_path,
        f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  m: {{targets: [{{engine: {{backend: cpu, file: {golden["model"]}, threads: 2}}}}]}}
""",
    )
    body = {"model": "m", "prompt": PROMPT, "temperature": 0, "max_tokens": N_TOKENS}
    status, _, answer = daemon.request("/v1/completions", body, timeout=300)
    models = daemon.request("/admin/v1/models", admin=True)[2]
    assert daemon.stop() == 0, daemon.log_text()
    assert status == 200, answer
    text = answer["choices"][0]["text"]
    assert answer["usage"]["completion_tokens"] == N_TOKENS
    assert len(text) >= N_TOKENS and want.startswith(text)
    assert models[0]["targets"][0]["device"] == "cpu neon+i8mm, 2 threads"
