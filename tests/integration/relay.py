# SPDX-License-Identifier: Apache-2.0
"""A socket before a server's own, which loses what the server says where a test wants it."""

import contextlib
import socket
import threading


class Relay:
    """`loses(piece)`: whether the next bytes that the server sends do not arrive."""

    def __init__(self, server, path, loses):
        self.server, self.path, self.loses = str(server), path, loses
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):  # the server has ended, or this has
            while True:
                client = self.listener.accept()[0]
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.server)
                for ways in ((client, server, lambda piece: False), (server, client, self.loses)):
                    threading.Thread(target=self.forward, args=ways, daemon=True).start()

    @staticmethod
    def forward(source, to, loses):
        with contextlib.suppress(OSError):  # either end may go first
            while piece := source.recv(65536):
                if not loses(piece):
                    to.sendall(piece)
            to.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()
