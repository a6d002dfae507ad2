# SPDX-License-Identifier: Apache-2.0
"""docs/tenants.md: its examples run, in order, and answer as shown."""

import json
import os
import pathlib
import subprocess

from conftest import ROOT
from docs_examples import blocks, moved, same_shape, with_answers

PAGE = "docs/tenants.md"


def test_the_examples_run_and_answer_as_shown(start, binary, tmp_path):
    config = next(text for kind, text, _ in blocks(PAGE) if kind == "yaml")
    daemon = start('server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0"}\n' + config,
                   env={"WEIR_ROOT_KEY": "key-of-the-documents"})
    (tmp_path / "weir").symlink_to(pathlib.Path(binary).resolve())
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    examples = with_answers(PAGE)
    assert len(examples) >= 4
    for text, line, kind, answer in examples:
        run = subprocess.run(["bash", "-euc", moved(text, daemon)], env=environment,
                             capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, f"{PAGE}:{line}: {run.stderr}"
        if kind == "json":
            assert same_shape(json.loads(answer), json.loads(run.stdout)) is None, f"{PAGE}:{line}"


def test_the_signature_is_what_the_page_says(start):
    program = next(text for kind, text, _ in blocks(PAGE) if kind == "python")
    names = {}
    exec(program, names)
    daemon = start("""
server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
models: {echo: {targets: [{engine: {backend: echo}}]}}
plugins: [{auth: {user_header: {secret: 0123456789abcdef}}}]
tenants: {acme: {keys: [{name: k, secret: key-of-the-documents}]}}
""")
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    for secret, status in ((b"0123456789abcdef", 200), (b"another-secret-16", 401)):
        headers = {"Authorization": "Bearer key-of-the-documents",
                   **names["signed"]("Zoë", "acme", "k", secret)}
        assert daemon.request("/v1/chat/completions", body, headers)[0] == status
