# SPDX-License-Identifier: Apache-2.0
"""docs/plugins.md: its programs build, pass the kit and do what the page says; nothing is left out."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from conftest import ROOT, echo_config, wait_until
from docs_examples import blocks

PAGE = "docs/plugins.md"
TEXT = (ROOT / PAGE).read_text()
BLOCKS = blocks(PAGE)
PROGRAMS = {re.search(r'\.name = "(\w+)"', text).group(1): text
            for kind, text, _ in BLOCKS if kind == "c" and "weir_plugin_entry_v1" in text}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def source(path):
    return (ROOT / path).read_text()


def environment(binary):
    tree = pathlib.Path(binary).resolve().parent
    env = {**os.environ, "PATH": f"{tree}:{os.environ['PATH']}", "PKG_CONFIG_PATH": str(tree / "sdk")}
    env.pop("MAKEFLAGS", None)
    return env


@pytest.fixture(scope="module")
def built(binary, tmp_path_factory):
    """The folder with the page's programs as shared objects, made with the page's own command."""
    if not (pathlib.Path(binary).resolve().parent / "sdk" / "weir-sdk.pc").exists():
        pytest.skip("no build tree")
    folder = tmp_path_factory.mktemp("programs")
    command = next(text for _, text, _ in BLOCKS if text.startswith("cc -std=c11"))
    for name, text in PROGRAMS.items():
        (folder / f"{name}.c").write_text(text)
        line = command.replace("token_cap", name).replace("cc ", "cc -Wall -Wextra -Werror ")
        run = subprocess.run(["sh", "-euc", line], cwd=folder, env=environment(binary),
                             capture_output=True, text=True, timeout=120)
        assert run.returncode == 0, run.stderr
    return folder


def test_each_block_of_c_is_a_whole_program():
    assert set(PROGRAMS) == {"token_cap", "tarpit", "shout"}
    assert len(PROGRAMS) == len([1 for kind, _, _ in BLOCKS if kind == "c"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_pass_the_kit(binary, built, name):
    run = subprocess.run([binary, "plugin", "test", built / f"{name}.so"], capture_output=True,
                         text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def test_programs_do_what_the_page_says(start, built):
    daemon = start(echo_config(f"plugin_dirs: [{built}]\nplugins: [{{token_cap: {{limit: 3}}}}, tarpit, shout]"))
    began = time.monotonic()
    status, _, answer = daemon.request("/v1/chat/completions", HELLO)
    choice = answer["choices"][0]
    assert (status, choice["message"]["content"], choice["finish_reason"]) == (200, "HEL", "length")
    assert time.monotonic() - began < 30
    route = "/admin/v1/plugins/token_cap/limit"
    assert daemon.request(route, admin=True)[2] == {"limit": 3}
    assert daemon.request(route, {}, admin=True, method="PATCH")[0] == 405
    allow = daemon.request(route, admin=True, method="OPTIONS")[1]["allow"]
    assert set(allow.split(", ")) == {"OPTIONS", "GET", "HEAD"}
    assert daemon.request(route + "s", admin=True)[0] == 404
    wait_until(lambda: daemon.metric("weir_token_cap_lowered_total") == 1, what="the metric")

    with daemon.connect() as s:  # without a User-Agent
        s.sendall(b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        began = time.monotonic()
        assert s.recv(100).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - began > 0.4


@pytest.mark.parametrize("text", [
    pytest.param(text, id=f"line{line}") for kind, text, line in BLOCKS if kind == "sh"])
def test_commands_run(binary, built, tmp_path, text):
    run = subprocess.run(["sh", "-euc", text], cwd=tmp_path, env=environment(binary),
                         capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("text", [
    pytest.param(text, id=f"line{line}") for kind, text, line in BLOCKS if kind == "yaml"])
def test_configurations_are_good(binary, tmp_path, text):
    file = tmp_path / "weir.yaml"
    file.write_text(text)
    run = subprocess.run([binary, "check", "-c", file], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr


def auth_block():
    return next(text for kind, text, _ in BLOCKS if kind == "yaml" and "sha256" in text)


def test_the_auth_example_lets_its_key_in(start):
    listeners = 'server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0"}\n'
    daemon = start(listeners + auth_block())
    good = {"Authorization": "Bearer change-me-please"}
    assert daemon.request("/v1/chat/completions", HELLO, good)[0] == 200
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 401
    assert daemon.metric("weir_auth_requests_total", result="ok") == 1
    assert daemon.metric("weir_auth_requests_total", result="missing") == 1


@pytest.mark.parametrize("plugin, page", [("auth", None), ("lua", "docs/lua.md"), ("breaker", "docs/gateway.md")])
def test_every_key_of_the_plugins_is_named(binary, plugin, page):
    run = subprocess.run([binary, "plugin", "info", "--json", plugin], capture_output=True, text=True)
    schema = json.loads(json.loads(run.stdout)["schema"])
    section = source(page) if page else TEXT.split(f"\n## {plugin}\n")[1].split("\n## ")[0]
    for key, value in schema["properties"].items():
        row = re.search(rf"^\| `{key}` \| (.*?) \| ?(.*?) \| .* \|$", section, re.M)
        assert row, key
        default = value.get("default")
        shown = json.dumps(default).strip('"') if default is not None else ""
        assert row.group(2).strip("`") == shown, key
        for bound in (value.get("minimum"), value.get("maximum")):
            assert bound is None or str(bound) in row.group(1), key


def test_every_function_of_the_host_is_named():
    table = re.search(r"struct weir_host \{(.*?)\n\};", source("sdk/include/weir/host.h"), re.S).group(1)
    names = re.findall(r"\(\*(\w+)\)\(const weir_host", table)
    assert len(names) > 20
    for name in names:
        assert re.search(rf"\b{name}\b", TEXT), name
    verdicts = re.findall(r"(WEIR_(?:CONTINUE|DENY|RESPOND|SUSPEND|FAIL|CHUNK_(?:PASS|REPLACE|HOLD|ABORT|LAST)))\b",
                          source("sdk/include/weir/policy.h"))
    for name in set(verdicts):
        assert f"`{name}`" in TEXT, name
    for extension in re.findall(r'"(weir\.[a-z.]+/\d)"', source("sdk/include/weir/host.h")):
        assert f"`{extension}`" in TEXT, extension
