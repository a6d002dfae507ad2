# SPDX-License-Identifier: Apache-2.0
"""Wall clocks that jump while the daemon or its Redis runs; monotonic time goes on."""

import datetime
import json
import pathlib
import struct
import time

import pytest

import billing
from conftest import echo_config, wait_until
from test_limits import ask, statuses, tenants, with_plugins
from test_store import Redis

HOUR, DAY = 3600, 24 * 3600


class Clock:
    """The wall clock of processes that are started with `env`."""

    def __init__(self, directory, build):
        self.file = directory / "clock"
        self.file.write_bytes(bytes(8))
        library = build / "tests" / "integration" / "plugins" / "shift_clock.so"
        self.env = {"LD_PRELOAD": str(library), "SHIFT_CLOCK": str(self.file)}

    def jump(self, seconds):
        """So far from the real time."""
        with open(self.file, "r+b") as f:
            f.write(struct.pack("<q", seconds))


@pytest.fixture
def clock(tmp_path, binary):
    return Clock(tmp_path, pathlib.Path(binary).parent)


def test_rates_and_places_do_not_follow_the_wall_clock(start, clock):
    daemon = start(
        with_plugins(
            "ratelimit",
            more=tenants(acme="limits: {requests_per_hour: 3}", busy="limits: {concurrent: 1}"),
            options=", options: {delay_us: 20000}",
        ),
        env=clock.env,
    )
    assert [ask(daemon, max_tokens=1)[0] for _ in range(4)] == [200, 200, 200, 429]
    running = billing.Truth(daemon.address, "long", 400, stream=True, headers={"Authorization": "Bearer sk-busy-0000"})
    running.run(until_tokens=1)
    for seconds in (2 * DAY, -2 * DAY, 0):
        clock.jump(seconds)
        assert ask(daemon, max_tokens=1)[0] == 429
        assert ask(daemon, "busy", max_tokens=1)[0] == 429
    assert running.run().complete
    running.close()
    wait_until(lambda: ask(daemon, "busy", max_tokens=1)[0] == 200, what="the place is free")


def test_budgets_are_those_of_the_day_that_the_wall_clock_shows(start, clock):
    daemon = start(with_plugins("quota", more=tenants(acme="quota: {requests_per_day: 2}")), env=clock.env)
    assert [ask(daemon, max_tokens=1)[0] for _ in range(3)] == [200, 200, 429]
    clock.jump(DAY)
    assert [ask(daemon, max_tokens=1)[0] for _ in range(3)] == [200, 200, 429]
    clock.jump(0)  # the day before: what it had used is not forgotten
    assert ask(daemon, max_tokens=1)[0] == 429
    clock.jump(-DAY)
    assert ask(daemon, max_tokens=1)[0] == 200
    clock.jump(DAY)
    assert ask(daemon, max_tokens=1)[0] == 429


def test_keys_expire_by_the_wall_clock(start, clock):
    expires = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    more = f"tenants:\n  acme: {{keys: [{{name: k, secret: sk-acme-0000, expires: {expires}}}]}}"
    daemon = start(with_plugins(more=more), env=clock.env)
    assert ask(daemon)[0] == 200
    clock.jump(2 * HOUR)
    assert ask(daemon)[0] == 401
    clock.jump(-2 * HOUR)
    assert ask(daemon)[0] == 200


@pytest.mark.parametrize("seconds", [40 * DAY, -40 * DAY])
def test_a_jump_bills_a_running_request_once(start, clock, tmp_path, seconds):
    """Its entry stays in the month in which it began; its job has a time of its own."""
    daemon = start(
        echo_config(f"plugins: [{billing.plugin(tmp_path)[2:]}]\n", ", options: {delay_us: 10000}"), env=clock.env
    )
    began = time.time()
    client = billing.Truth(daemon.address, "over-the-jump", 400, stream=True)
    client.run(until_tokens=70)
    clock.jump(seconds)
    client.run()
    assert client.complete
    clock.jump(0)
    months = {"from": "2000-01-01", "to": "2100-01-01"}
    wait_until(lambda: billing.ledger(daemon, **months), what="the entry")
    time.sleep(6)  # a job that nobody renews is settled after five seconds
    entries = billing.ledger(daemon, **months)
    assert [(e["type"], e["source"]) for e in entries] == [("usage", "replica")]
    assert entries[0]["delivered_tokens"] == client.tokens
    assert abs(entries[0]["started_us"] / 1e6 - began) < 60


def test_a_jump_of_the_stores_clock_exceeds_no_limit(start, clock, tmp_path):
    """Redis has wall time only. Set forward, a limit is whole again for replicas that do not know better; set
    back, it is used up, and for no longer than it takes to fill."""
    (tmp_path / "redis").mkdir()
    redis = Redis(tmp_path / "redis")
    config = f'store: {{driver: redis, url: "redis+unix://{redis.socket}"}}\n' + with_plugins(
        "ratelimit", "quota",
        more=tenants(acme="limits: {requests_per_hour: 3}", fast="limits: {requests_per_second: 2}",
                     other="quota: {requests_per_day: 5}"),
    )
    try:
        redis.start(env=clock.env)
        knows = start(config)
        assert statuses_of(knows, 4) == {200: 3, 429: 1}
        clock.jump(DAY)
        fresh = start(config)  # the other one need not ask before its own clock says so
        assert 1 <= statuses_of(knows, 5).get(200, 0) + statuses_of(fresh, 5).get(200, 0) <= 3
        assert statuses_of(fresh, 5) == {429: 5}
        clock.jump(-DAY)
        daemon = start(config)
        assert statuses_of(daemon, 3) == {429: 3}
        clock.jump(0)
        assert ask(daemon, "fast", max_tokens=1)[0] == 200
        clock.jump(-2 * DAY)
        wait_until(lambda: ask(daemon, "fast", max_tokens=1)[0] == 200, timeout=10, what="the limit is whole again")
        assert statuses_of(daemon, 8, "other") == {200: 5, 429: 3}  # windows are the replica's own
    finally:
        redis.kill()


def statuses_of(daemon, n, tenant="acme"):
    found = {}
    for status, _, body in statuses(daemon, n, tenant, max_tokens=1):
        assert status in (200, 429), json.dumps(body)
        found[status] = found.get(status, 0) + 1
    return found
