# SPDX-License-Identifier: Apache-2.0
"""Writes what the mock upstream answers, fault by fault, into tests/corpus/upstream/."""

import asyncio
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parent / "fault"))
import mock_upstream  # noqa: E402

ENDLESS = ("hang", "endless", "keepalive", "interim_flood", "giant", "many", "long", "reset", "close_before")


async def answer(port, fault, stream):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"model": fault, "stream": stream}).encode()
    writer.write(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    data = b""
    try:
        while piece := await asyncio.wait_for(reader.read(65536), 0.3):
            data += piece
    except (TimeoutError, asyncio.TimeoutError, ConnectionError):
        pass
    writer.close()
    return data


async def main():
    async with mock_upstream.MockUpstream() as mock:
        for fault in mock_upstream.FAULTS:
            for stream in (False, True):
                if not fault.startswith(ENDLESS):
                    data = await answer(mock.port, fault, stream)
                    (ROOT / "upstream" / f"{fault}-{'stream' if stream else 'whole'}").write_bytes(data)


asyncio.run(main())
