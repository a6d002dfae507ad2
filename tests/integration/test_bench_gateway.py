# SPDX-License-Identifier: Apache-2.0
"""tests/bench/gateway_load, which measures gateways, counts what it sends and what comes back."""

import json
import os
import pathlib
import subprocess

import pytest

UPSTREAM = """
server: {listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", workers: 1}
models: {mock: {targets: [{upstream: {url: "http://127.0.0.1:%d/v1"}}]}}
"""


class Load:
    def __init__(self, *processors):
        tool = pathlib.Path(os.environ["WEIR_BUILD"]) / "tests" / "bench" / "gateway_load"
        if not tool.exists():
            pytest.skip("gateway_load is not built")
        self.process = subprocess.Popen([tool, *processors], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.mock_port = int(self.process.stdout.readline())

    def run(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0


@pytest.fixture
def load():
    load = Load()
    yield load
    load.stop()


def holds(result):
    """Each request has its times, and the gateway's part is no longer than what the client saw."""
    assert result["failed"] == 0
    assert result["done"] > 0
    assert result["unstamped"] <= 100  # those that came before the kernel began to stamp
    assert 0 < result["p50_us"] <= result["plain_p50_us"]
    assert result["p50_us"] <= result["p90_us"] <= result["p99_us"] <= result["p999_us"]


def test_requests_are_due_at_even_times_and_sent_once(load):
    result = load.run(0, 8, 1, 500)
    holds(result)
    assert result["done"] + result["missed"] in range(480, 503)
    assert result["samples"] + result["unstamped"] == result["done"]


def test_events_of_all_streams_are_counted(load):
    result = load.run(0, 20, 1, 0, "stream=10/20000")
    holds(result)
    assert result["samples"] >= 20 * 10


def test_a_gateway_adds_time_to_requests_and_events(load, start):
    daemon = start(UPSTREAM % load.mock_port)
    port = daemon.address.rsplit(":", 1)[1]
    requests, events = load.run(port, 8, 1, 500), load.run(port, 20, 1, 0, "stream=10/20000")
    for result, direct in ((requests, load.run(0, 8, 1, 500)), (events, load.run(0, 20, 1, 0, "stream=10/20000"))):
        holds(result)
        assert result["p50_us"] > direct["p50_us"]


def test_a_line_that_is_no_run_ends_it():
    load = Load()
    load.process.stdin.write("no run\n")
    load.process.stdin.flush()
    assert load.process.wait(30) == 2
