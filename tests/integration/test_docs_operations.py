# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md: every metric, log field and exit code is there and true; its commands run."""

import json
import os
import pathlib
import re
import subprocess

import pytest

from conftest import ROOT, echo_config, require_model, wait_until
from docs_examples import blocks

PAGE = "docs/operations.md"
TEXT = (ROOT / PAGE).read_text()
BLOCKS = blocks(PAGE)
HELLO = {"messages": [{"role": "user", "content": "hello"}]}
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_every_metric_is_named_with_its_kind_and_labels(start):
    daemon = start(echo_config("plugins: [header_stamp]\nmetrics: {compat: [vllm]}"))
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 200
    wait_until(lambda: daemon.metric("weir_requests_total") == 1, what="the request counted")
    text = daemon.request("/metrics", admin=True)[2]
    kinds = dict(re.findall(r"^# TYPE (\S+) (\w+)$", text, re.M))
    rows = {name: (kind, labels.strip()) for name, kind, labels in
            re.findall(r"^\| `(weir_\w+)` \| (\w+) \|([\w, ]*)\|", TEXT, re.M)}
    assert len(rows) > 25
    for name, kind in kinds.items():
        if name.startswith("vllm:"):
            assert f"`{name}`" in TEXT, name
            continue
        series = re.search(rf"^{name}(?:_count)?(?:\{{(.*)\}})? ", text, re.M)
        labels = sorted(re.findall(r'(\w+)="', series.group(1) or "")) if series else None
        shown_kind, shown_labels = rows[name]
        assert shown_kind == kind, name
        if labels is not None:
            assert sorted(filter(None, shown_labels.split(", "))) == labels, name
    sources = "".join((ROOT / f).read_text() for f in (
        "core/request/observe.c", "core/request/device_figures.c", "core/request/observe_targets.c", "core/request/shedding.c", "core/plugin/metrics.c", "core/store/metrics.c", "core/store/memory.c",
        "core/store/redis/redis.c", "core/server/tls_watch.c"))
    assert set(rows) == set(re.findall(r'"(weir_\w+)"', sources))
    vllm = set(re.findall(r'"(vllm:\w+)"', (ROOT / "core/request/compat_vllm.c").read_text()))
    assert all(f"`{name}`" in TEXT for name in vllm)


def test_log_lines_have_the_fields_of_the_page(start):
    daemon = start(echo_config("logging: {format: json}"))
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 200
    wait_until(lambda: '"access"' in daemon.log_text(), what="the access line")
    line = json.loads(next(l for l in daemon.log_text().splitlines() if '"access"' in l))
    section = TEXT.split("\n## Logs\n")[1].split("\n## ")[0]
    assert all(f"`{key}`" in section for key in line)
    words = re.findall(r"(\w+)=", line["message"])
    assert len(words) >= 10
    for word in words:
        assert f"`{word}`" in section, word
    shown = re.findall(r"(\w+)=", next(t for _, t, _ in BLOCKS if "access:" in t))
    assert shown == [*words, "request_id"]


def test_every_level_and_exit_code_is_named():
    levels = json.loads((ROOT / "config/schema/weir.schema.json").read_text())
    for level in levels["properties"]["logging"]["properties"]["level"]["enum"]:
        assert f"`{level}`" in TEXT
    for code in re.findall(r"WEIR_EXIT_\w+ = (\d+)", (ROOT / "cli/command.h").read_text()):
        assert re.search(rf"^\| {code} \|", TEXT, re.M)


def test_messages_of_the_page_are_messages_of_weir():
    """What a person looks for has to be spelt as weir writes it."""
    sources = " ".join(re.sub(r'"\s*"', "", f.read_text()) for folder in ("core", "cli", "engine", "backends")
                       for f in (ROOT / folder).rglob("*.c"))
    for message in ("no plugin named", "is not there: %s", "up, but a model failed; not ready",
                    "one sequence of %u tokens needs %llu MB of KV",
                    "does not support tools",
                    "reload failed; the old configuration stays"):
        assert message in sources, message
        assert message.split("%")[0].strip(" \"") in TEXT or "%" in message
    section = TEXT.split("\n## Troubleshooting\n")[1]
    codes = set(re.findall(r"`((?:queue|model|policy|context|client)_\w+)`", section))
    assert len(codes) >= 8
    for code in codes:
        assert f'"{code}"' in sources + "".join(
            f.read_text() for f in (ROOT / "plugins").rglob("*.c")), code


def test_the_configuration_error_of_the_page(binary, tmp_path):
    file = tmp_path / "weir.yaml"
    file.write_text("plugins:\n      - auth: {requird: true}\n")
    run = subprocess.run([binary, "serve", "-c", "weir.yaml"], cwd=tmp_path, capture_output=True,
                         text=True, timeout=30)
    shown = next(text for _, text, _ in BLOCKS if "requird" in text).strip()
    assert run.returncode == 78
    assert run.stderr.splitlines()[0].split(": ", 1)[1] == shown.split(": ", 1)[1]


@pytest.mark.parametrize("text", [
    pytest.param(text, id=f"line{line}") for kind, text, line in BLOCKS
    if kind == "sh" and "scripts/setup" not in text])
def test_commands_run(binary, text):
    require_model(MODEL)
    tree = pathlib.Path(binary).resolve().parent
    env = {**os.environ, "PATH": f"{tree}:{os.environ['PATH']}"}
    run = subprocess.run(["sh", "-euc", text], cwd=ROOT, env=env, capture_output=True, text=True,
                         timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_installed_weir_runs(binary, tmp_path):
    tree = pathlib.Path(binary).resolve().parent
    if not (tree / "meson-info").exists():
        pytest.skip("no build tree")
    run = subprocess.run(["meson", "install", "-C", tree, "--no-rebuild", "--destdir", tmp_path],
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    installed = next(tmp_path.rglob("bin/weir"))
    plugins = next(tmp_path.rglob("weir/plugins"))
    version = subprocess.run([installed, "version"], capture_output=True, text=True, timeout=30)
    assert version.returncode == 0, version.stderr
    listed = subprocess.run([installed, "plugin", "list", "--json", "--dir", plugins],
                            capture_output=True, text=True, timeout=60)
    assert {"auth", "lua", "cpu", "echo"} <= {p["name"] for p in json.loads(listed.stdout)}
    assert next(tmp_path.rglob("weir-sdk.pc")) and next(tmp_path.rglob("weir/policy.h"))
