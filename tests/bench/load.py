# SPDX-License-Identifier: Apache-2.0
"""Load for the benchmarks: many chat requests at a time from one thread, timed one by one."""

import asyncio
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


class Daemon:
    def __init__(self, binary, config):
        self.home = tempfile.TemporaryDirectory()
        file = pathlib.Path(self.home.name) / "weir.yaml"
        file.write_text(config)
        self.log = open(pathlib.Path(self.home.name) / "log", "wb")
        self.process = subprocess.Popen([binary, "serve", "-c", file], stdout=subprocess.PIPE, stderr=self.log, cwd=ROOT)
        line = self.process.stdout.readline().decode()
        ready = re.search(r"ready: http://([^ :]+):(\d+)", line)
        if not ready:
            self.process.wait(60)
            raise SystemExit(f"{binary} did not start: {pathlib.Path(self.log.name).read_text()}")
        self.host, self.port = ready[1], int(ready[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.home.cleanup()

    def resident_mib(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


async def ask(daemon, body, key=None, timeout=120):
    """(status, seconds to the first token or None, seconds in all); status 0: no answer."""
    data = json.dumps(body).encode()
    auth = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{auth}Content-Length: {len(data)}\r\n\r\n"
    began, first, status, writer = time.monotonic(), None, 0, None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(daemon.host, daemon.port)
            began = time.monotonic()  # what the server sees; the generator's own queue is not its matter
            writer.write(head.encode() + data)
            line = await reader.readline()
            status = int(line.split()[1])
            while part := await reader.read(65536):
                if first is None and b'"content":"' in part and status == 200:
                    first = time.monotonic() - began
    except (OSError, TimeoutError, IndexError, ValueError):
        status = 0
    finally:
        if writer:
            writer.close()
    return status, first, time.monotonic() - began


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")
