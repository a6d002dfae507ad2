# SPDX-License-Identifier: Apache-2.0
"""A server that speaks the OpenAI API and can fail in every way: what it does is the model's name.

`async with MockUpstream() as mock:` serves on mock.port; Server(...) runs one in a thread for tests
that are not asynchronous. FAULTS lists all that a model can be called.
"""

import asyncio
import base64
import json
import socket
import struct
import threading

WORDS = ["Hello", " from", " the", " mock", "."]


def event(delta=None, finish=None, **more):
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    data = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [choice], **more}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def usage(n):
    data = {"id": "x", "object": "chat.completion.chunk", "choices": [],
            "usage": {"prompt_tokens": 7, "completion_tokens": n, "total_tokens": 7 + n}}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def whole(content="Hello from the mock.", **more):
    return json.dumps(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": content, **more},
                      "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}
    ).encode()


def error(message, code):
    return json.dumps({"error": {"message": message, "type": "x", "param": "temperature", "code": code}}).encode()


class Exchange:
    """One request, and the means to answer it well or badly."""

    def __init__(self, mock, reader, writer, head, body):
        self.mock, self.reader, self.writer, self.head, self.body = mock, reader, writer, head, body
        self.stream = bool(body.get("stream"))

    async def raw(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def begin(self, status="200 OK", kind=None, fields="", length=None):
        kind = kind or ("text/event-stream" if self.stream else "application/json")
        frame = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        await self.raw(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{fields}{frame}\r\n\r\n".encode())

    async def chunk(self, data):
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self):
        await self.raw(b"0\r\n\r\n")

    async def answer(self, data, status="200 OK", **how):
        await self.begin(status, kind=how.pop("kind", "application/json"), length=len(data), **how)
        await self.raw(data)

    async def events(self, words=WORDS, finish="stop", with_usage=True, done=True):
        for word in words:
            await self.chunk(event({"content": word}))
        if finish:
            await self.chunk(event(finish=finish))
        if with_usage:
            await self.chunk(usage(len(words)))
        if done:
            await self.chunk(b"data: [DONE]\n\n")

    async def well(self):
        if self.stream:
            await self.begin()
            await self.events()
            await self.end()
        else:
            await self.answer(whole())

    def reset(self):
        """RST in place of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang(self):
        """Until the other side has had enough."""
        await self.reader.read()


async def ok(x):
    await x.well()


async def hang_before(x):
    await x.hang()


async def hang_head(x):
    await x.begin()
    await x.hang()


async def hang_in_head(x):
    await x.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/eve")
    await x.hang()


async def hang_middle(x):
    await x.begin()
    await x.events(WORDS[:2], finish=None, with_usage=False, done=False)
    await x.hang()


async def keepalive_only(x):
    """What keeps a connection alive is no progress."""
    await x.begin(kind="text/event-stream")
    await x.chunk(event({"content": "Hello"}))
    while not x.writer.is_closing():
        await x.chunk(b": still here\n\n")
        await asyncio.sleep(0.05)


async def reset_before(x):
    x.reset()


async def reset_middle(x):
    await x.begin()
    await x.events(WORDS[:2], finish=None, with_usage=False, done=False)
    await asyncio.sleep(0.1)
    x.reset()


async def close_before(x):
    pass


async def close_middle(x):
    await x.begin()
    await x.events(WORDS[:2], finish=None, with_usage=False, done=False)


async def end_early(x):
    """The HTTP response is whole, the answer is not."""
    await x.begin()
    await x.events(WORDS[:2], finish=None, with_usage=False, done=False)
    await x.end()


async def done_early(x):
    await x.begin(kind="text/event-stream")
    await x.events(WORDS[:2], finish=None, with_usage=False, done=True)
    await x.end()


async def no_http(x):
    await x.raw(b"SSH-2.0-OpenSSH_9.2\r\n" * 20)


async def no_json(x):
    await x.answer(b"{\"choices\": [", kind="application/json")


async def no_json_event(x):
    await x.begin(kind="text/event-stream")
    await x.chunk(event({"content": "Hello"}))
    await x.chunk(b"data: {nonsense\n\n")
    await x.hang()


async def other_json(x):
    await x.answer(b"[1, 2, 3]")


async def wrong_types(x):
    await x.answer(b'{"choices":[{"index":"no","message":7}]}')


async def html(x):
    await x.answer(b"<html>Welcome to the login page</html>", kind="text/html")


async def encoded(x):
    await x.answer(b"\x1f\x8b\x08junk", fields="Content-Encoding: gzip\r\n")


async def length_too_long(x):
    data = whole()
    await x.begin(kind="application/json", length=len(data) + 100)
    await x.raw(data)


async def length_too_short(x):
    data = whole()
    await x.begin(kind="application/json", length=len(data) - 20)
    await x.raw(data)


async def length_twice(x):
    await x.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef")


async def length_and_chunked(x):
    await x.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")


async def bad_chunk(x):
    await x.begin()
    await x.raw(b"zz\r\nnot hexadecimal\r\n")
    await x.hang()


async def interim_flood(x):
    while not x.writer.is_closing():
        await x.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 50)
        await asyncio.sleep(0.01)


async def interim_few(x):
    await x.raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    await x.well()


async def upgrade(x):
    await x.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    await x.hang()


async def giant_field(x):
    await x.raw(b"HTTP/1.1 200 OK\r\nX-Big: " + b"a" * 200_000 + b"\r\n\r\n")
    await x.hang()


async def many_fields(x):
    await x.raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n")
    await x.hang()


async def endless_event(x):
    await x.begin(kind="text/event-stream")
    await x.chunk(b"data: ")
    for _ in range(400):
        await x.chunk(b"a" * 10_000)
    await x.hang()


async def endless_lines(x):
    await x.begin(kind="text/event-stream")
    for _ in range(400):
        await x.chunk(b"data: " + b"a" * 10_000 + b"\n")
    await x.hang()


async def endless_stream(x):
    await x.begin(kind="text/event-stream")
    while not x.writer.is_closing():
        await x.chunk(event({"content": "more "}))
        await asyncio.sleep(0.02)


async def giant_answer(x):
    await x.begin(kind="application/json", length=64 << 20)
    for _ in range(64 * 16):
        await x.raw(b" " * 65536)


async def error_event(x):
    await x.begin(kind="text/event-stream")
    await x.chunk(event({"content": "Hello"}))
    await x.chunk(b"data: " + error("the device is on fire", "server_error") + b"\n\n")
    await x.end()


async def wrong_choice(x):
    await x.begin(kind="text/event-stream")
    await x.chunk(b'data: {"choices":[{"index":7,"delta":{"content":"x"}}]}\n\n')
    await x.hang()


async def status_429(x):
    await x.answer(error("too fast", "rate_limit_exceeded"), "429 Too Many Requests")


async def status_429_after(x):
    await x.answer(error("too fast", "rate_limit_exceeded"), "429 Too Many Requests", fields="Retry-After: 7\r\n")


async def status_429_after_ms(x):
    await x.answer(b"", "429 Too Many Requests", fields="retry-after: 9\r\nretry-after-ms: 1500\r\n")


async def status_503(x):
    await x.answer(b"busy", "503 Service Unavailable", kind="text/plain")


async def status_503_after(x):
    await x.answer(error("loading", "loading"), "503 Service Unavailable", fields="Retry-After: 3\r\n")


async def status_500(x):
    await x.answer(error("secret stack trace", "oops"), "500 Internal Server Error")


async def status_400(x):
    await x.answer(error("temperature is too hot", "invalid_value"), "400 Bad Request")


async def status_401(x):
    await x.answer(error("your key sk-123 is wrong", "invalid_api_key"), "401 Unauthorized")


async def status_404(x):
    await x.answer(error("no such model", "model_not_found"), "404 Not Found")


async def status_302(x):
    await x.answer(b"", "302 Found", fields="Location: http://127.0.0.1:1/\r\n")


async def status_204(x):
    await x.raw(b"HTTP/1.1 204 No Content\r\n\r\n")


async def old_http(x):
    """HTTP/1.0: the end of the connection is the end of the body."""
    data = whole() if not x.stream else event({"content": "Hello"}) + event(finish="stop") + b"data: [DONE]\n\n"
    kind = b"text/event-stream" if x.stream else b"application/json"
    await x.raw(b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n" + data)


async def closes_after(x):
    await x.well()
    x.writer.close()


async def byte_by_byte(x):
    data = b"".join([event({"content": w}) for w in ["H\u00e9", "llo"]]) + event(finish="stop") + b"data: [DONE]\n\n"
    if not x.stream:
        data = whole()
    kind = b"text/event-stream" if x.stream else b"application/json"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(data))
    for byte in head + data:
        await x.raw(bytes([byte]))


async def whole_in_chunks(x):
    """Some in one segment, the last in another."""
    if x.stream:
        await x.well()
        return
    data = whole()
    await x.begin(kind="application/json")
    await x.raw(b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (data[:9], data[9:40])))
    await asyncio.sleep(0.05)
    await x.chunk(data[40:])
    await x.end()


async def crlf_events(x):
    await x.begin(kind="text/event-stream")
    for word in WORDS:
        await x.chunk(b": c\r\nid: 1\r\n" + event({"content": word}).replace(b"\n\n", b"\r\n\r\n"))
    await x.chunk(event(finish="stop").replace(b"\n\n", b"\r\n\r\n") + b"data:[DONE]\r\n\r\n")
    await x.end()


async def no_done(x):
    await x.begin(kind="text/event-stream")
    await x.events(done=False)
    await x.end()


async def no_usage(x):
    await x.begin(kind="text/event-stream")
    await x.events(with_usage=False)
    await x.end()


async def tool_calls(x):
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    if not x.stream:
        call["function"]["arguments"] = '{"a": 1}'
        data = json.loads(whole(None, tool_calls=[call]))
        data["choices"][0]["finish_reason"] = "tool_calls"
        await x.answer(json.dumps(data).encode())
        return
    await x.begin()
    await x.chunk(event({"role": "assistant", "content": None, "tool_calls": [call]}))
    for piece in ['{"a"', ": 1}"]:
        await x.chunk(event({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
    await x.events([], finish="tool_calls")
    await x.end()


async def logprobs(x):
    entry = {"token": "Hi", "logprob": -0.25, "bytes": [72, 105],
             "top_logprobs": [{"token": "Hi", "logprob": -0.25, "bytes": [72, 105]},
                              {"token": "Yo", "logprob": -1.5, "bytes": None}]}
    if x.stream:
        await x.begin()
        data = json.loads(event({"content": "Hi"})[6:])
        data["choices"][0]["logprobs"] = {"content": [entry]}
        await x.chunk(b"data: " + json.dumps(data).encode() + b"\n\n")
        await x.events([], finish="stop")
        await x.end()
    else:
        data = json.loads(whole("Hi"))
        data["choices"][0]["logprobs"] = {"content": [entry]}
        await x.answer(json.dumps(data).encode())


async def long_stream(x):
    """Until the reader has had enough; what is sent is counted."""
    await x.begin(kind="text/event-stream")
    while not x.writer.is_closing():
        await x.chunk(event({"content": "x" * 2000}))
        x.mock.n_long_bytes += 2000


async def late(x):
    await asyncio.sleep(x.mock.delay)
    await x.well()


async def late_word(x):
    """The head comes at once."""
    await x.begin()
    await asyncio.sleep(x.mock.delay)
    await x.events()
    await x.end()


async def late_reset(x):
    await asyncio.sleep(x.mock.delay)
    x.reset()


async def late_500(x):
    await asyncio.sleep(x.mock.delay)
    await status_500(x)


async def late_429(x):
    await asyncio.sleep(x.mock.delay)
    await status_429(x)


def embedding(x, change=lambda data: data, vector=None):
    """Embeddings of the inputs: [index, number of bytes], or as base64 of little-endian floats."""
    inputs = x.body["input"]
    if isinstance(inputs, str) or isinstance(inputs[0], int):
        inputs = [inputs]
    vectors = [[float(i), float(len(text))] for i, text in enumerate(inputs)]
    if x.body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack("<2f", *v)).decode() for v in vectors]
    data = [{"object": "embedding", "index": i, "embedding": vector or v, "more": None} for i, v in enumerate(vectors)]
    return json.dumps({"object": "list", "data": change(data), "model": "m",
                       "usage": {"prompt_tokens": 9, "total_tokens": 9}}).encode()


async def embed(x):
    await x.answer(embedding(x))


async def embed_reversed(x):
    await x.answer(embedding(x, lambda data: data[::-1]))


async def embed_less(x):
    await x.answer(embedding(x, lambda data: data[1:]))


async def embed_twice(x):
    await x.answer(embedding(x, lambda data: data[:1] * len(data)))


async def embed_text(x):
    await x.answer(embedding(x, vector=["a"]))


async def embed_nothing(x):
    await x.answer(embedding(x, lambda data: None))


EMBEDDINGS = [embed, embed_reversed, embed_less, embed_twice, embed_text, embed_nothing]
GOOD = [ok, interim_few, old_http, closes_after, byte_by_byte, whole_in_chunks, crlf_events, no_done,
        no_usage]
OTHER = [tool_calls, logprobs, long_stream, late, late_word, late_reset, late_500, late_429]
BAD = [hang_before, hang_head, hang_in_head, hang_middle, keepalive_only, reset_before, reset_middle,
       close_before, close_middle, end_early, done_early, no_http, no_json, no_json_event, other_json,
       wrong_types, html, encoded, length_too_long, length_too_short, length_twice, length_and_chunked,
       bad_chunk, interim_flood, upgrade, giant_field, many_fields, endless_event, endless_lines,
       endless_stream, giant_answer, error_event, wrong_choice, status_429, status_429_after,
       status_429_after_ms, status_503, status_503_after, status_500, status_400, status_401, status_404,
       status_302, status_204]
FAULTS = {f.__name__: f for f in GOOD + BAD + OTHER + EMBEDDINGS}


class MockUpstream:
    def __init__(self, port=0, tls=None):
        self.port, self.tls = port, tls
        self.n_open = self.n_connections = self.n_requests = self.n_long_bytes = 0
        self.tasks = set()
        self.delay = 0  # of those that are late
        self.last = None  # (head, body) of the last request

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *what):
        self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.n_open += 1
        self.n_connections += 1
        try:
            while await self.one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.n_open -= 1
            self.tasks.discard(asyncio.current_task())
            if not writer.is_closing():
                writer.close()

    async def one(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        fields = {}
        for line in head.decode().split("\r\n")[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        body = json.loads(await reader.readexactly(int(fields.get("content-length", "0"))) or b"{}")
        self.n_requests += 1
        self.last = (head.decode(), body)
        fault = FAULTS[body["model"]]
        await fault(Exchange(self, reader, writer, fields, body))
        return fault in (ok, interim_few, byte_by_byte, crlf_events, no_done, no_usage, tool_calls, logprobs) \
            or fault.__name__.startswith("status_")


class Server:
    """A mock in a thread of its own: `with Server() as mock:`."""

    def __init__(self, **how):
        self.mock = MockUpstream(**how)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.mock.__aenter__(), self.loop).result(10)
        return self.mock

    def __exit__(self, *what):
        asyncio.run_coroutine_threadsafe(self.mock.__aexit__(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
