# SPDX-License-Identifier: Apache-2.0
"""Starts the real daemon for tests: `pytest --weir build/weir tests/integration`."""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

collect_ignore = ["test_arm64.py"]  # only where it is named


def pytest_addoption(parser):
    parser.addoption("--weir", default=str(ROOT / "build" / "weir"), help="the daemon to test")


def pytest_configure(config):
    """Tests of the command line and the tools find the same build."""
    binary = pathlib.Path(config.getoption("--weir")).resolve()
    os.environ.setdefault("WEIR", str(binary))
    os.environ.setdefault("WEIR_BUILD", str(binary.parent))


def models_dir():
    return pathlib.Path(
        os.environ.get("WEIR_MODELS") or pathlib.Path.home() / ".cache" / "weir" / "models"
    )


class Daemon:
    """A running `weir serve`, on ports that it chose."""

    def __init__(self, binary, directory, config, env=None):
        self.directory = pathlib.Path(directory)
        self.file = self.directory / "weir.yaml"
        self.file.write_text(config)
        self.log_path = self.directory / "weir.log"
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(
            [binary, "serve", "-c", str(self.file)],
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )
        line = self.process.stdout.readline().decode()
        match = re.search(r"ready: (https?)://([^ ]+) \(admin and metrics: (https?)://([^)]+)\)", line)
        assert match, f"no ready line, but {line!r}; log:\n{self.log_text()}"
        self.ready_line = line
        self.address, self.admin = match.group(2), match.group(4)
        self.url, self.admin_url = f"{match.group(1)}://{self.address}", f"{match.group(3)}://{self.admin}"

    def log_text(self):
        return self.log_path.read_text(errors="replace")

    def request(self, path, body=None, headers=None, admin=False, method=None, timeout=60):
        """(status, headers, parsed JSON or text)"""
        data = None if body is None else (body if isinstance(body, bytes) else json.dumps(body).encode())
        request = urllib.request.Request(
            (self.admin_url if admin else self.url) + path,
            data=data,
            headers={"Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                status, head, text = response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            status, head, text = error.code, error.headers, error.read()
        try:
            return status, head, json.loads(text)
        except ValueError:
            return status, head, text.decode(errors="replace")

    def metric(self, name, **labels):
        """The sum of a metric's series that have these labels."""
        text = self.request("/metrics", admin=True)[2]
        total = 0.0
        for line in text.splitlines():
            match = re.match(r"([\w:]+)(?:\{(.*)\})? (\S+)$", line)
            if match and match.group(1) == name:
                given = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match.group(2) or ""))
                if all(given.get(k) == v for k, v in labels.items()):
                    total += float(match.group(3))
        return total

    def connect(self):
        host, port = self.address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=30)

    def stop(self, timeout=40):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        wait_until(lambda: self.process.poll() is not None, timeout,
                   lambda: f"the end of the daemon, whose log is\n{self.log_text()}\n")
        self.log.close()
        return self.process.returncode


def wait_until(condition, timeout=20, what="condition"):
    """Waits for something that another process does; fails when it does not come. `what` is a text,
    or a function that makes one. A pause of the whole machine, which stops that process as well as
    this one, counts as one look."""
    for _ in range(int(timeout / 0.02)):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what() if callable(what) else what} did not come true in {timeout} s")


@pytest.fixture(scope="session")
def binary(request):
    path = str(pathlib.Path(request.config.getoption("--weir")).resolve())
    assert os.access(path, os.X_OK), f"{path} is not built"
    return path


@pytest.fixture
def start(binary, tmp_path):
    """start(config) -> Daemon; every daemon must end with status 0 and without sanitizer reports."""
    with contextlib.ExitStack() as stack:
        count = 0

        def run(config, env=None):
            nonlocal count
            count += 1
            directory = tmp_path / f"daemon{count}"
            directory.mkdir()
            daemon = Daemon(binary, directory, config, env)

            def end():
                code = daemon.stop()
                text = daemon.log_text()
                assert "Sanitizer" not in text and "runtime error" not in text, text
                assert code == 0, f"exit {code}:\n{text}"

            stack.callback(end)
            return daemon

        yield run


ECHO = """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}
models:
  echo:
    targets: [{engine: {backend: echo%(options)s}}]
%(extra)s
"""


def echo_config(extra="", options=""):
    return ECHO % {"extra": extra, "options": options}


@pytest.fixture
def echo(start):
    return start(echo_config())


def require_model(file):
    if not (models_dir() / file).exists():
        pytest.skip(f"{file} is not in {models_dir()}: weir model get")


@pytest.fixture(scope="module")
def smollm2(binary, tmp_path_factory):
    require_model("SmolLM2-135M-Instruct.Q4_1.gguf")
    daemon = Daemon(
        binary,
        tmp_path_factory.mktemp("smollm2"),
        """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0"}
models:
  smollm2:
    targets: [{engine: {backend: auto, file: SmolLM2-135M-Instruct.Q4_1.gguf}}]
""",
    )
    yield daemon
    assert daemon.stop() == 0, daemon.log_text()
