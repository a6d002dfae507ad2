# SPDX-License-Identifier: Apache-2.0
"""Two regions: two gateways in one, one in the other, a real Redis and a model server in each."""

import hashlib
import socket

import pytest

from conftest import wait_until
from test_balance import ask, ask_many, served
from test_store import Redis

PER_HOUR = 12
SERVER = 'server: {{listen: ["127.0.0.1:{port}"], admin: "127.0.0.1:0"}}\nmodels: {{echo: {{targets: [{{engine: {{backend: echo}}}}]}}}}\n'


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def gateway(region, redis, ports):
    targets = "".join(f'      - {{upstream: {{url: "http://127.0.0.1:{p}/v1"}}, region: {r}}}\n' for r, p in ports.items())
    tenants = "".join(
        f"  {name}: {{keys: [{{name: main, sha256: {hashlib.sha256(name.encode()).hexdigest()}}}]{more}}}\n"
        for name, more in [("rover", ""), ("resident", ", regions: [east]"),
                           ("counted", f", limits: {{requests_per_hour: {PER_HOUR}}}")])
    return f"""
server: {{listen: ["127.0.0.1:0"], admin: "127.0.0.1:0", region: {region}}}
store: {{driver: redis, url: "redis+unix://{redis.socket}"}}
plugins: [auth, ratelimit]
tenants:
{tenants}gateway:
  retries: {{budget_percent: 100, attempts: 4}}
  ejection: {{consecutive_errors: 2, time: 200ms, max_percent: 100}}
  regions: {{leave_after: 100ms, return_after: 500ms}}
  slow_start: 1us
load_balancing: {{health_checks: {{readiness: {{path: /healthz/ready, interval: 200ms, timeout: 1s}}}}}}
models:
  echo:
    targets:
{targets}"""


def as_tenant(name):
    return {"Authorization": f"Bearer {name}"}


@pytest.fixture
def redises(tmp_path):
    servers = []
    for name in ("east", "west"):
        directory = tmp_path / f"redis-{name}"
        directory.mkdir()
        servers.append(Redis(directory))
        servers[-1].start()
    yield servers
    for server in servers:
        server.kill()


@pytest.fixture
def world(start, redises):
    """Model servers and gateways: [east, west], [east, east, west]."""
    ports = {"east": free_port(), "west": free_port()}
    servers = [start(SERVER.format(port=p)) for p in ports.values()]
    gateways = [start(gateway(r, redises[r == "west"], ports)) for r in ("east", "east", "west")]
    for g in gateways:
        wait_until(lambda g=g: all(g.metric("weir_target_state", target=f"echo/{i}") == 1 for i in (0, 1)), what="both checks have passed")
    return servers, gateways, ports


def test_each_region_serves_and_counts_its_own(world):
    _, (east, other_east, west), _ = world
    for daemon in (east, west):
        for _ in range(6):
            assert ask(daemon, headers=as_tenant("rover"))[0] == 200
    assert served(east) == [6, 0] and served(west) == [0, 6]
    admitted = sum(ask(d, headers=as_tenant("counted"))[0] == 200 for _ in range(PER_HOUR) for d in (east, other_east))
    assert admitted == PER_HOUR  # one Redis for both
    assert sum(ask(west, headers=as_tenant("counted"))[0] == 200 for _ in range(PER_HOUR)) == PER_HOUR  # and another


def test_a_tenant_never_leaves_its_regions(world):
    (east_server, _), (east, _, west), _ = world
    for _ in range(5):
        assert ask(west, headers=as_tenant("resident"))[0] == 200
    assert served(west) == [5, 0]
    east_server.stop()
    for daemon in (east, west):
        status, _, body = ask(daemon, headers=as_tenant("resident"))
        assert status in (502, 503), body
    assert served(west) == [5, 0] and served(east)[1] == 0


def test_a_region_without_servers_of_the_tenants_is_refused(start, redises):
    port = free_port()
    start(SERVER.format(port=port))
    west = start(gateway("west", redises[1], {"west": port}))
    status, _, body = ask(west, headers=as_tenant("resident"))
    assert (status, body["error"]["code"]) == (403, "region_not_allowed")
    assert ask(west, headers=as_tenant("rover"))[0] == 200


def test_a_dead_region_is_left_and_taken_back(start, world):
    servers, (east, _, _), ports = world
    assert ask_many(east, 20, headers=as_tenant("rover")) == {200: 20}
    servers[0].stop()
    assert ask_many(east, 40, at_a_time=4, headers=as_tenant("rover")) == {200: 40}
    assert served(east) == [20, 40]
    wait_until(lambda: east.metric("weir_region_left", region="east") == 1, what="the region is left")
    start(SERVER.format(port=ports["east"]))
    wait_until(lambda: east.metric("weir_region_left", region="east") == 0, what="the region is back")
    assert ask_many(east, 20, headers=as_tenant("rover")) == {200: 20}
    assert served(east)[0] == 40
