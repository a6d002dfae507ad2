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
        self.idle = []  # connections, each its reader and writer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.home.cleanup()

    def resident_mib(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20


async def read_chunks(reader):
    while n := int(await reader.readline(), 16):
        yield await reader.readexactly(n)
        await reader.readline()
    await reader.readline()


async def read_answer(reader):
    """The head's lines, then pieces of the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    yield head
    length = re.search(rb"content-length: (\d+)", head)
    if length:
        yield await reader.readexactly(int(length[1]))
    else:
        async for piece in read_chunks(reader):
            yield piece


async def ask(daemon, body, key=None, timeout=120):
    """(status, seconds to the first token or None, seconds in all); status 0: no answer. Connections are
    kept for the next request, as the clients' libraries do."""
    data = json.dumps(body).encode()
    auth = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{auth}Content-Length: {len(data)}\r\n\r\n"
    began, first, status, connection = time.monotonic(), None, 0, None
    try:
        async with asyncio.timeout(timeout):
            connection = daemon.idle.pop() if daemon.idle else await asyncio.open_connection(daemon.host, daemon.port)
            reader, writer = connection
            began = time.monotonic()  # what the server sees; the generator's own queue is not its matter
            writer.write(head.encode() + data)
            async for part in read_answer(reader):
                if status == 0:
                    keeps = b"connection: close" not in part
                    status = int(part.split()[1])
                elif first is None and status == 200 and b'"content":"' in part:
                    first = time.monotonic() - began
            if keeps:
                daemon.idle.append(connection)
                connection = None
    except (OSError, EOFError, TimeoutError, IndexError, ValueError):
        status = 0
    finally:
        if connection:
            connection[1].close()
    return status, first, time.monotonic() - began


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")
