# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand over a socket: the h2 library for what is right, raw frames for what is not."""

import json
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hyperframe.frame as frames

PATH = "/v1/chat/completions"


def chat(text="hello", stream=False, **more):
    return json.dumps({"model": "echo", "stream": stream, "messages": [{"role": "user", "content": text}], **more}).encode()


class Stream:
    def __init__(self):
        self.status = None
        self.headers = {}
        self.trailers = {}
        self.body = b""
        self.ended = False
        self.reset = None  # an error code

    def json(self):
        return json.loads(self.body)


class H2:
    """One connection. `window`: what a stream may send before the client says more; with
    `acknowledge` the client gives back what it has read at once."""

    def __init__(self, sock, window=None, acknowledge=True):
        self.sock = sock
        self.sock.settimeout(20)
        self.acknowledge = acknowledge
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.local_settings.max_header_list_size = 1 << 20
        self.h2.initiate_connection()
        if window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.streams = {}
        self.goaway = None  # the last error code
        self.closed = False
        self.received = b""
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.send_raw(data)

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            self.closed = True

    def send_frames(self, *list_of_frames):
        self.send_raw(b"".join(f.serialize() for f in list_of_frames))

    def headers(self, path=PATH, method="POST", extra=()):
        return [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path), *extra]

    def open(self, path=PATH, method="POST", extra=(), end=False):
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, self.headers(path, method, extra), end_stream=end)
        self.streams[stream] = Stream()
        return stream

    def post(self, body, path=PATH, extra=()):
        stream = self.open(path, extra=extra)
        self.h2.send_data(stream, body, end_stream=True)
        self.flush()
        return stream

    def get(self, path):
        stream = self.open(path, "GET", end=True)
        self.flush()
        return stream

    def step(self):
        """Reads once; False at the end of the connection."""
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.received += data
        while len(self.received) >= 9:  # frame by frame, since h2 reads nothing behind a GOAWAY
            n = 9 + int.from_bytes(self.received[:3], "big")
            if len(self.received) < n:
                break
            frame, self.received = self.received[:n], self.received[n:]
            for event in self.h2.receive_data(frame):
                self.take(event)
        self.flush()
        return True

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event.error_code
            if event.error_code == 0:  # h2 takes this for the end; streams up to the last one go on
                self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        elif stream is None:
            return
        elif isinstance(event, h2.events.ResponseReceived):
            stream.headers = {k.decode(): v.decode() for k, v in event.headers}
            stream.status = int(stream.headers[":status"])
        elif isinstance(event, h2.events.TrailersReceived):
            stream.trailers = {k.decode(): v.decode() for k, v in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            stream.body += event.data
            if self.acknowledge and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.reset = event.error_code

    def until(self, condition, timeout=20):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, "did not come"
            assert not self.closed, "the server closed the connection"
            self.step()

    def finish(self, *ids):
        self.until(lambda: all(self.streams[i].ended or self.streams[i].reset is not None for i in ids))
        return [self.streams[i] for i in ids]

    def ask(self, body=None, **more):
        return self.finish(self.post(chat() if body is None else body, **more))[0]

    def until_closed(self):
        """Reads until the server closes; the error code of its GOAWAY."""
        while not self.closed:
            self.step()
        return self.goaway

    def close(self):
        self.sock.close()


def raw_headers(client, stream, fields, end_headers=True, end_stream=True):
    """A HEADERS frame as a client library would refuse to make it."""
    frame = frames.HeadersFrame(stream)
    frame.data = client.h2.encoder.encode(fields)
    if end_headers:
        frame.flags.add("END_HEADERS")
    if end_stream:
        frame.flags.add("END_STREAM")
    return frame
