# SPDX-License-Identifier: Apache-2.0
"""README.md: what it says to type works as written, what it lists is what there is."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from conftest import ROOT, echo_config
from docs_examples import blocks, moved

TEXT = (ROOT / "README.md").read_text()
BLOCKS = blocks("README.md")


def block(start):
    return next(text for _, text, _ in BLOCKS if text.startswith(start))


def environment(binary):
    tree = pathlib.Path(binary).resolve().parent
    env = {**os.environ, "PATH": f"{tree}:{os.environ['PATH']}"}
    env.pop("MAKEFLAGS", None)
    return env


def test_the_curl_line_answers(smollm2):
    run = subprocess.run(["sh", "-euc", moved(block("curl "), smollm2)], capture_output=True, text=True,
                         timeout=120)
    assert run.returncode == 0 and '"finish_reason":' in run.stdout, run.stdout + run.stderr


def test_the_python_example_prints_an_answer(smollm2, tmp_path):
    file = tmp_path / "example.py"
    file.write_text(moved(block("from openai"), smollm2))
    run = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and run.stdout.strip(), run.stdout + run.stderr


def without_comments(text):
    lines = [re.sub(r"\s*(^|\s)#.*", "", line).rstrip() for line in text.splitlines()]
    return [line for line in lines if line]


def test_the_configuration_is_the_quickstart():
    quickstart = (ROOT / "config" / "quickstart.yaml").read_text()
    assert without_comments(block("server:")) == without_comments(quickstart)


def test_the_plugin_commands_run(binary, tmp_path):
    if not (pathlib.Path(binary).parent / "sdk" / "weir-sdk.pc").exists():
        pytest.skip("no build tree")
    run = subprocess.run(["sh", "-euc", block("weir plugin new")], cwd=tmp_path, env=environment(binary),
                         capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "FAILED" not in run.stdout


def test_the_lua_policy_refuses_long_prompts(start, tmp_path):
    policy = tmp_path / "policy.lua"
    policy.write_text(block("function on_request"))
    daemon = start(echo_config(f"""
plugins: [auth, lua]
tenants:
  acme: {{policy: {policy}, keys: [{{name: a, secret: sk-acme-key}}]}}
"""))
    key = {"Authorization": "Bearer sk-acme-key"}
    for n, status in ((10, 200), (2000, 400)):
        body = {"messages": [{"role": "user", "content": "x" * n}]}
        assert daemon.request("/v1/chat/completions", body, key)[0] == status


def test_the_scripts_of_the_readme_know_their_help():
    for name in re.findall(r"^(scripts/\w+)", block("scripts/run"), re.M):
        run = subprocess.run([ROOT / name, "--help"], capture_output=True, text=True, timeout=30)
        assert run.returncode == 0 and "examples:" in run.stdout, name


def test_the_commands_are_those_of_weir(binary):
    words = subprocess.run([binary, "completions", "bash"], capture_output=True, text=True).stdout
    names = words.split("offer='", 1)[1].split("'", 1)[0].split()
    rows = re.findall(r"^\| ((?:`weir \w+` ?)+)\|", TEXT, re.M)
    listed = re.findall(r"weir (\w+)", " ".join(rows))
    assert sorted(listed) == sorted(names)
    for name in listed:
        run = subprocess.run([binary, name, "--help"], capture_output=True, text=True, timeout=30)
        assert run.returncode == 0 and "\nexamples:\n" in run.stdout
    for verbs, command in re.findall(r"^\| `weir (model|plugin)` \| (.*) \|$", TEXT, re.M):
        shown = subprocess.run([binary, verbs, "--help"], capture_output=True, text=True).stdout
        for verb in re.findall(r"`(\w+)`", command):
            assert f"weir {verbs} {verb}" in shown


def test_what_it_runs_is_what_the_engine_runs():
    types = re.search(r"\*\*Tensor types\*\*: ([^.]*)\.", TEXT).group(1).replace("\n", " ").split(", ")
    table = (ROOT / "engine" / "gguf" / "tensor_type.c").read_text()
    for name in types:
        assert f'"{name}"' in table or f"{name}" in table, name
    hparams = "".join(p.read_text() for p in (ROOT / "engine" / "model").glob("*.c"))
    for name in ("llama", "qwen2", "qwen3", "gemma3"):
        assert name in TEXT and f'"{name}"' in hparams, name


def test_weir_help_has_examples_that_are_commands(binary):
    text = subprocess.run([binary, "help"], capture_output=True, text=True).stdout
    examples = text.split("\nexamples:\n")[1].split("\n\n")[0]
    assert len(examples.splitlines()) >= 3
    for line in examples.splitlines():
        assert re.match(r"  weir (model|serve|chat|check|plugin)\b", line)


@pytest.mark.parametrize("command", ["check", "model", "plugin", "version"])
def test_listings_have_json(binary, command):
    text = subprocess.run([binary, command, "--help"], capture_output=True, text=True).stdout
    assert "--json" in text
