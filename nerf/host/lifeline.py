"""Connections among the processes of a run, so that all end with one sentence when one of them ends early.

Each process keeps a TCP connection to process 0. On it, one JSON object a line, come `{"stopped": sentence}` from a process
that ends early, and `{"done": true}` from one that has finished. A connection that closes without either is that of a
process that was killed. A machine that is switched off or cut off is noticed by the operating system's keepalive.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

# A peer that does not answer for IDLE + INTERVAL * COUNT = 25 s is gone. The operating system asks and answers, so that a
# process that computes or compiles for minutes is not mistaken for one.
IDLE, INTERVAL, COUNT = 10, 5, 3


def send(connection: socket.socket, **message: Any) -> None:
    """Send one message; a broken connection is left to whoever reads from it."""
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b'\n')


def keep_alive(connection: socket.socket) -> None:
    """Have the operating system probe an idle connection, as far as it knows these options."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (('TCP_KEEPIDLE', IDLE), ('TCP_KEEPINTVL', INTERVAL), ('TCP_KEEPCNT', COUNT)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Lifeline:
    """The connections of one process: process 0 has one to each of the others, which have one to process 0."""

    def __init__(self, peers: Mapping[int, socket.socket]) -> None:
        """Watch the connections, given by the number of the process at the other end."""
        self._peers = dict(peers)
        self._done = {number: threading.Event() for number in peers}
        self._ending = threading.Lock()
        for number, connection in self._peers.items():
            connection.settimeout(None)
            keep_alive(connection)
            threading.Thread(target=self._watch, args=(number, connection), daemon=True).start()

    def _watch(self, number: int, connection: socket.socket) -> None:
        try:
            line = connection.makefile('rb').readline()
            message = json.loads(line) if line else {}
        except (OSError, ValueError):
            message = {}
        if 'done' in message:
            self._done[number].set()
            return
        gone = f'process {number} is gone (killed, crashed or cut off)'
        restart = 'start all processes again, with the same commands, to go on from the last checkpoint'
        self.stop(message.get('stopped') or f'{gone}: {restart}')

    def stop(self, sentence: str, own_sentence: str | None = None) -> None:
        """End this process and all others with status 1 and a sentence, of which this process may have a form of its own.

        The process ends without its clean-up: JAX's waits for the others, and the main thread may be in a collective
        computation that never ends.
        """
        self._ending.acquire()  # for good: only the first reason is given
        for connection in self._peers.values():
            send(connection, stopped=sentence)
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            print(f'error: {own_sentence or sentence}', file=sys.stderr, flush=True)
        os._exit(1)

    def finish(self) -> None:
        """Wait until all processes have finished; from then on they may close their connections."""
        if 0 in self._peers:
            send(self._peers[0], done=True)
        for done in self._done.values():
            done.wait()
        if 0 not in self._peers:
            for connection in self._peers.values():
                send(connection, done=True)


class Relay:
    """A local address that leads to a server elsewhere, whose end is passed on `DELAY` seconds late.

    JAX's client crashes its process, with a dump, at the moment it loses process 0. Led through here, it learns of that
    only after the lifeline has ended the process with a sentence.
    """

    DELAY = 5.0
    PATIENCE = 30.0  # JAX's server opens its port a moment after the processes have found each other

    def __init__(self, host: str, port: int) -> None:
        """Listen, on a free port of this machine alone, for connections to `host` and `port`."""
        self._target = host, port
        self._listener = socket.create_server(('127.0.0.1', 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """The local address, `host:port`."""
        return f'127.0.0.1:{self._listener.getsockname()[1]}'

    def _accept(self) -> None:
        while True:
            threading.Thread(target=self._connect, args=self._listener.accept()[:1], daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        until = time.monotonic() + self.PATIENCE
        while True:
            try:
                server = socket.create_connection(self._target, timeout=self.PATIENCE)
                break
            except OSError:
                if time.monotonic() > until:
                    client.close()
                    return
                time.sleep(0.1)
        server.settimeout(None)
        for connection in (server, client):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_copy, args=(client, server, 0.0), daemon=True).start()
        _copy(server, client, self.DELAY)


def _copy(source: socket.socket, target: socket.socket, delay: float) -> None:
    """Pass on what comes, and its end after `delay` seconds."""
    with contextlib.suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)
    time.sleep(delay)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
