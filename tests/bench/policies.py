#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU of the daemon per request with policies, against an empty plugin list, on the echo backend.

usage: policies.py [--weir FILE] [--requests N] [--rounds N] [--redis] [NAME=PLUGINS...]

Each PLUGINS is what stands under `plugins:`, as a YAML list in one line. Without any: ratelimit with
three levels, quota with tokens, and both. Rounds of all configurations are interleaved; the figures are
medians of user and system time of the whole process, as the kernel counts it (10 ms steps, so many
requests are needed). Where `perf` may count, instructions are shown too: they hardly depend on what
else the machine does. --redis starts a redis-server and uses it; its own CPU is not counted."""
import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMITS = ("{global: {requests_per_second: 1000000, tokens_per_minute: 6000000000}, "
          "tenant: {requests_per_second: 500000, tokens_per_minute: 3000000000, concurrent: 4000}, "
          "user: {requests_per_minute: 6000000}}")
BUDGETS = "{tenant: {tokens_per_month: 5000000000000}}"
DEFAULT = {
    "ratelimit": f"[{{ratelimit: {{limits: {LIMITS}}}}}]",
    "quota": f"[{{quota: {{budgets: {BUDGETS}}}}}]",
    "both": f"[{{ratelimit: {{limits: {LIMITS}}}}}, {{quota: {{budgets: {BUDGETS}}}}}]",
}
BODY = json.dumps({"model": "echo", "user": "alice", "max_tokens": 1,
                   "messages": [{"role": "user", "content": "hi"}]})


class Daemon:
    def __init__(self, weir, directory, plugins, store):
        file = directory / "weir.yaml"
        file.write_text(
            'server: {listen: "127.0.0.1:0", admin: "127.0.0.1:0", workers: 1}\n'
            f"logging: {{level: warn}}\n{store}models: {{echo: {{targets: [{{engine: {{backend: echo}}}}]}}}}\nplugins: {plugins}\n")
        self.process = subprocess.Popen([weir, "serve", "-c", file], stdout=subprocess.PIPE,
                                        stderr=open(directory / f"{file.stem}.log", "w"), text=True)
        line = self.process.stdout.readline()
        self.host, self.port = re.search(r"http://([\d.]+):(\d+)", line).groups()

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, n):
        connection = http.client.HTTPConnection(self.host, int(self.port), timeout=60)
        for _ in range(n):
            connection.request("POST", "/v1/chat/completions", BODY, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
            assert response.status == 200, text
        connection.close()

    def round(self, n, connections=32):
        """Microseconds, and instructions or None, of a request."""
        perf = subprocess.Popen(["perf", "stat", "-x,", "-e", "instructions", "-p", str(self.process.pid)],
                                stderr=subprocess.PIPE, text=True) if shutil.which("perf") else None
        time.sleep(0.2 if perf else 0)
        before = self.cpu_s()
        threads = [threading.Thread(target=self.ask, args=(n // connections,)) for _ in range(connections)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        n = n // connections * connections
        us = (self.cpu_s() - before) / n * 1e6
        if not perf:
            return us, None
        perf.send_signal(signal.SIGINT)
        first = perf.communicate()[1].split(",")[0].strip()
        return us, int(first) / n if first.isdigit() else None

    def end(self):
        self.process.terminate()
        self.process.wait()


def start_redis(directory):
    socket = directory / "redis.sock"
    process = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", ""],
                               cwd=directory, stdout=subprocess.DEVNULL)
    while not socket.exists():
        time.sleep(0.05)
    return process, f'store: {{driver: redis, url: "redis+unix://{socket}", timeout: 1s}}\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weir", default=ROOT / "build" / "weir")
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("plugins", nargs="*")
    args = parser.parse_args()
    sets = {"none": "[]", **(dict(p.split("=", 1) for p in args.plugins) or DEFAULT)}
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        redis, store = start_redis(directory) if args.redis else (None, "")
        daemons = {}
        try:
            for label, plugins in sets.items():
                (directory / label).mkdir()
                daemons[label] = Daemon(args.weir, directory / label, plugins, store)
            figures, counts = {label: [] for label in sets}, {label: [] for label in sets}
            for i in range(args.rounds + 1):
                for label, daemon in daemons.items():
                    us, instructions = daemon.round(args.requests if i else args.requests // 4)
                    if i:  # the first round warms up
                        figures[label].append(us)
                        counts[label].append(instructions or 0)
        finally:
            for daemon in daemons.values():
                daemon.end()
            for label in daemons:
                print((directory / label / "weir.log").read_text(), end="")
            if redis:
                redis.terminate()
                redis.wait()
    print(f"store: {'redis' if args.redis else 'memory'}, load average {os.getloadavg()[0]:.1f}")
    for label, values in figures.items():
        extra = [v - n for v, n in zip(values, figures["none"])]
        line = (f"{label:>12}: {statistics.median(values):7.1f} us, {statistics.median(extra):+6.1f} us "
                f"against none, from {min(extra):+.1f} to {max(extra):+.1f}")
        if all(counts["none"]):
            more = statistics.median(counts[label]) - statistics.median(counts["none"])
            line += f"; {more:+8.0f} instructions"
        print(line)


if __name__ == "__main__":
    main()
