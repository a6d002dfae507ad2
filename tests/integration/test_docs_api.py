# SPDX-License-Identifier: Apache-2.0
"""docs/api.md: its examples run and answer as shown; all parameters, routes and codes are there."""

import json
import re
import subprocess
import sys

import pytest

from conftest import ROOT, Daemon, models_dir, require_model
from docs_examples import blocks, moved, same_shape, with_answers

PAGE = "docs/api.md"
TEXT = (ROOT / PAGE).read_text()
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"

# The chat template of SmolLM2 with tools as Qwen's models write them.
TOOL_TEMPLATE = """\
{%- if tools %}<|im_start|>system
Call one of these functions, in <tool_call></tool_call>:{% for tool in tools %}
{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content or '' }}{% for c in m.tool_calls or [] %}<tool_call>
{{ {'name': c.function.name, 'arguments': c.function.arguments} | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@pytest.fixture(scope="module")
def documented(binary, tmp_path_factory):
    """SmolLM2 as `smollm2`, and with a template that has tools as `qwen3`."""
    require_model(MODEL)
    folder = tmp_path_factory.mktemp("documented")
    template = folder / "template.jinja"
    template.write_text(TOOL_TEMPLATE)
    subprocess.run(
        [sys.executable, "-m", "gguf.scripts.gguf_new_metadata", models_dir() / MODEL,
         folder / "tools.gguf", "--chat-template-file", template, "--force"],
        check=True, capture_output=True, timeout=300)
    daemon = Daemon(
        binary, folder,
        f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}}
models:
  smollm2: {{targets: [{{engine: {{file: {MODEL}, threads: 2}}}}]}}
  qwen3: {{targets: [{{engine: {{file: {folder}/tools.gguf, threads: 2}}}}]}}
""")
    yield daemon
    code = daemon.stop()
    (folder / "tools.gguf").unlink()
    assert code == 0, daemon.log_text()


def run_shell(text, daemon):
    run = subprocess.run(["bash", "-euc", moved(text, daemon)], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


def check_events(shown, got):
    def events(text):
        return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]

    assert len(events(shown)) == len(events(got)) and events(got)[-1] == "[DONE]"
    for a, b in zip(events(shown)[:-1], events(got)[:-1]):
        assert same_shape(json.loads(a), json.loads(b)) is None


@pytest.mark.parametrize("command,line,kind,shown", [
    pytest.param(*found, id=f"line{found[1]}") for found in with_answers(PAGE)])
def test_curl_examples_answer_as_shown(documented, command, line, kind, shown):
    got = run_shell(command, documented)
    if kind == "text" and shown.startswith("data: "):
        check_events(shown, got)
    elif kind == "text":
        headers = [line.split(":")[0] for line in shown.splitlines()]
        assert [line.split(":")[0] for line in got.splitlines() if line] == headers
    else:
        shown, answer = json.loads(shown), json.loads(got)
        if isinstance(answer, list) and len(answer) > 1:  # the other model of this test
            answer = answer[:1]
        assert same_shape(shown, answer) is None
        if "error" in shown:
            assert answer == shown
        if "tokens" in shown or "content" in shown:
            assert answer == shown


@pytest.mark.parametrize("text", [
    pytest.param(text, id=f"line{line}") for kind, text, line in blocks(PAGE) if kind == "python"])
def test_python_examples_run(documented, text, tmp_path):
    file = tmp_path / "example.py"
    file.write_text(moved(text, documented))
    run = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def test_there_are_examples_of_each_kind():
    assert len(with_answers(PAGE)) >= 10
    assert all(answer for _, _, _, answer in with_answers(PAGE))
    assert len([1 for kind, _, _ in blocks(PAGE) if kind == "python"]) >= 4


def source(path):
    return (ROOT / path).read_text()


def test_every_parameter_is_named_with_its_endpoint():
    rows = re.findall(r'\{(?:WEIR_STR_INIT\()?"(\w+)"\)?, FOR_(ALL|BOTH|CHAT|COMPLETION|EMBEDDING),', source("core/api/request_params.c"))
    assert len(rows) > 40
    where = {"ALL": "both", "BOTH": "both", "CHAT": "chat", "COMPLETION": "completion", "EMBEDDING": "embeddings"}
    for name, kinds in rows:
        assert f"| `{name}` | {where[kinds]} |" in TEXT, name
    page = set(re.findall(r"^\| `(\w+)` \| (?:both|chat|completion|embeddings) \|", TEXT, re.M))
    assert page == {name for name, _ in rows}


def keys_of(file):
    """The texts of the lists of known keys: each ends with {NULL, 0}, or is as long as the members that are looked for."""
    lists = re.findall(r"const weir_str \w+\[\] = \{(.*?)\{NULL, 0\}\};", source(file), re.S)
    lists += re.findall(r"const weir_str known\[N\] = \{(.*?)\};", source(file), re.S)
    return {key for text in lists for key in re.findall(r'"(\w+)"', text)}


def test_every_key_below_a_parameter_is_named():
    names = set()
    for file in ("api_request", "request_params", "messages", "tools", "response_format"):
        names |= keys_of(f"core/api/{file}.c")
    names |= keys_of("core/request/endpoints.c")
    assert {"include_usage", "tool_call_id", "add_special"} <= names
    for name in names:
        assert re.search(rf"[`\"]{name}[`\"]", TEXT), name


@pytest.mark.parametrize("file,least", [("core/request/routes.c", 10), ("core/admin/system_api.c", 4),
                                        ("core/admin/tenants_api.c", 9)])
def test_every_route_is_named(file, least):
    routes = re.findall(r'\{"(GET|POST|PUT|PATCH|DELETE)", (?:WEIR_STR_INIT\()?"(/[^"]*)"', source(file))
    assert len(routes) >= least
    listed = [line for line in TEXT.splitlines() if line.startswith("| `")]
    for method, path in routes:
        path = path.replace("/v1/models/*", "/v1/models/{model}")
        assert any(f"`{method} {path}`" in line or (f"`{method}`" in line and f" {path}`" in line)
                   for line in listed), f"{method} {path}"


def codes():
    found = set(re.findall(r'\{\d{3}, "(\w+)",', source("core/net/http_problem.c"))) - {"ok"}
    for folder in ("core", "engine", "plugins"):
        for file in (ROOT / folder).rglob("*.c"):
            text = file.read_text()
            found |= set(re.findall(
                r'(?:weir_refuse|weir_answer_error|weir_answer_busy|fail_run|weir_refusal_set)'
                r'\([^;]*?"([a-z]+_[a-z_]+)"[,)]', text, re.S))
            found |= set(re.findall(r'weir_str_from\("([a-z]+_[a-z_]+)"\),\s*weir_str_from\((?:message\)|")', text))
    return found


def test_every_error_code_is_named():
    found = codes() - {"max_tokens", "logit_bias", "response_format", "tool_choice"}  # parameters
    assert len(found) > 50
    missing = {code for code in found if f"`{code}`" not in TEXT}
    assert not missing


def test_every_header_is_named():
    names = set()
    for folder in ("core/request", "core/server", "core/admin"):
        for file in (ROOT / folder).glob("*.c"):
            names |= set(re.findall(r'weir_http_(?:add_)?(?:own_)?header\(r?-?>?\w+, (?:weir_str_from\()?"([\w-]+)"', file.read_text()))
    assert {"x-request-id", "Server-Timing", "traceparent"} <= names
    for name in names - {"Content-Type"}:
        assert name.lower() in TEXT.lower(), name
