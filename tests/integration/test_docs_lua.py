# SPDX-License-Identifier: Apache-2.0
"""docs/lua.md: every function is named, every example is good, and the shell examples run."""

import json
import os
import pathlib
import re
import subprocess

from conftest import ROOT
from docs_examples import blocks, moved

PAGE = "docs/lua.md"
TEXT = (ROOT / PAGE).read_text()


def weir(binary, *words, **more):
    return subprocess.run([binary, "lua", *words], capture_output=True, text=True, timeout=60, **more)


def test_everything_that_a_policy_can_use_is_named(binary):
    names = json.loads(weir(binary, "api", "--json").stdout)
    assert len(names) > 80
    for name in names:
        assert re.search(rf"`{re.escape(name)}\b", TEXT), name


def test_everything_that_is_named_is_there(binary):
    names = set(json.loads(weir(binary, "api", "--json").stdout)) | {"weir.kv"}
    named = set(re.findall(r"`((?:weir|req|chunk|usage|string|table|math)\.[\w.]+)", TEXT))
    assert not {n.rstrip(".") for n in named if not n.startswith("weir.ctx.")} - names


def test_everything_of_test_files_is_named():
    source = (ROOT / "cli" / "lua_test_api.c").read_text()
    table = source.split("void lua_test_api_setup")[1]
    for name in re.findall(r'\{"(\w+)",', table):
        assert re.search(rf"`{name}[({{]", TEXT), name


def test_the_policies_of_the_page_are_good(binary, tmp_path):
    examples = [text for kind, text, _ in blocks(PAGE) if kind == "lua"]
    assert len(examples) >= 5
    for i, text in enumerate(examples):
        file = tmp_path / (f"p{i}_test.lua" if text.startswith("test(") else f"p{i}.lua")
        file.write_text(text)
        run = weir(binary, "check", file)
        assert run.returncode == 0, f"{text}\n{run.stdout}{run.stderr}"


def test_the_pages_tests_pass_for_its_first_policy(binary, tmp_path):
    texts = [text for kind, text, _ in blocks(PAGE) if kind == "lua"]
    (tmp_path / "p.lua").write_text(texts[0])
    (tmp_path / "p_test.lua").write_text(next(t for t in texts if t.startswith("test(")))
    run = weir(binary, "test", tmp_path)
    assert run.returncode == 0, run.stdout


def test_the_shell_examples_run(start, binary, tmp_path):
    config = next(text for kind, text, _ in blocks(PAGE) if kind == "yaml")
    daemon = start('server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0"}\n' + config)
    (tmp_path / "weir").symlink_to(pathlib.Path(binary).resolve())
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for kind, text, line in blocks(PAGE):
        if kind == "sh":
            run = subprocess.run(["bash", "-euc", moved(text, daemon)], env=environment, cwd=ROOT,
                                 capture_output=True, text=True, timeout=60)
            assert run.returncode == 0, f"{PAGE}:{line}: {run.stdout}{run.stderr}"
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "x"}]}
    # The version that the examples made active stands in for the file, which wants a user.
    answer = daemon.request("/v1/chat/completions", body, {"Authorization": "Bearer change-me-please"})
    assert answer[0] == 200 or answer[2]["error"]["code"] == "outside_business_hours"


def test_every_metric_is_named():
    source = (ROOT / "plugins" / "lua" / "metrics.c").read_text()
    for kind, name in re.findall(r'WEIR_METRIC_(\w+), "(\w+)"', source):
        assert f"weir_lua_{name}{'_total' if kind == 'COUNTER' else ''}" in TEXT, name
