# SPDX-License-Identifier: Apache-2.0
"""The daemon with a real Redis as its store."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from conftest import echo_config, wait_until

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}]}


class Redis:
    """A redis-server with a socket of its own; no port."""

    def __init__(self, directory):
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.process = None

    def start(self, *options, env=None):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", *options],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
        wait_until(lambda: self.command("ping").returncode == 0, what="redis-server")

    def command(self, *words):
        return subprocess.run(
            ["redis-cli", "-s", self.socket, *words], capture_output=True, text=True
        )

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def redis(tmp_path):
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    directory = tmp_path / "redis"
    directory.mkdir()
    server = Redis(directory)
    yield server
    server.kill()


def config(redis, extra=""):
    return f'store: {{driver: redis, url: "redis+unix://{redis.socket}"{extra}}}\n' + echo_config()


def test_a_store_is_used_by_every_loop(start, redis):
    redis.start()
    daemon = start(config(redis, ", connections: 2"))
    assert daemon.metric("weir_store_breaker_state") == 0
    # The main loop's and each worker's, and the one that takes messages.
    wait_until(lambda: daemon.metric("weir_store_connections") >= 4, what="connections")
    assert "store: using" in daemon.log_text()
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 200
    assert redis.command("get", "weir:schema").stdout.strip() == "1"


def test_the_daemon_starts_and_serves_without_its_store(start, redis):
    daemon = start(config(redis))
    assert daemon.metric("weir_store_breaker_state") in (1, 2)
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 200
    assert daemon.request("/healthz/ready")[0] == 200
    redis.start()
    wait_until(lambda: daemon.metric("weir_store_breaker_state") == 0, what="the store")


def test_a_store_that_dies_is_found_again_and_said_once(start, redis):
    redis.start()
    daemon = start(config(redis))
    redis.kill()
    wait_until(lambda: daemon.metric("weir_store_breaker_state") in (1, 2), what="the breaker")
    time.sleep(3)
    assert daemon.request("/v1/chat/completions", HELLO)[0] == 200
    assert daemon.log_text().count("cannot use") == 1
    redis.start()
    wait_until(lambda: daemon.metric("weir_store_breaker_state") == 0, what="the store")
    assert daemon.metric("weir_store_breaker_transitions_total", to="closed") == 2


def test_the_breaker_opens_and_tries_as_configured(start, redis):
    redis.start()
    rules = "failure_threshold: 1000000, min_operations: 2, open_time: 50ms, max_open_time: 50ms"
    daemon = start(
        config(redis, f", timeout: 20ms, circuit_breaker: {{{rules}}}") + "plugins: [cache]\n"
    )
    wait_until(lambda: daemon.metric("weir_store_breaker_state") == 0, what="the store")
    redis.process.send_signal(signal.SIGSTOP)
    # Two that fail are all of the window's.
    wait_until(
        lambda: daemon.request("/v1/chat/completions", {**HELLO, "temperature": 0})[0] == 200
        and daemon.metric("weir_store_breaker_state") in (1, 2),
        what="the breaker",
    )
    redis.process.send_signal(signal.SIGCONT)
    wait_until(lambda: daemon.metric("weir_store_breaker_state") == 0, what="the store")


def test_a_hung_store_does_not_hold_up_the_end(start, redis):
    redis.start()
    daemon = start(config(redis))
    redis.process.send_signal(signal.SIGSTOP)
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(timeout=20) == 0


def test_the_password_comes_from_a_file_or_the_environment(start, redis, tmp_path):
    redis.start("--requirepass", "canary-secret")
    file = tmp_path / "password"
    file.write_text("canary-secret\n")
    for extra, env in (
        (f", password_file: {file}", None),
        (", password_env: STORE_PASSWORD", {"STORE_PASSWORD": "canary-secret"}),
    ):
        daemon = start(config(redis, extra), env=env) if env else start(config(redis, extra))
        assert daemon.metric("weir_store_breaker_state") == 0
        assert "canary" not in daemon.log_text()


def test_a_password_that_is_missing_stops_the_start(binary, redis, tmp_path):
    for extra, says in (
        (", password_file: /nowhere/password", "/nowhere/password"),
        (", password_env: NOT_SET_AT_ALL", "NOT_SET_AT_ALL"),
    ):
        file = tmp_path / "weir.yaml"
        file.write_text(config(redis, extra))
        run = subprocess.run([binary, "serve", "-c", file], capture_output=True, text=True, timeout=30)
        assert run.returncode != 0 and says in run.stderr
