"""The lifeline ends a process when another has ended early, and not otherwise. Each case runs in processes of its own."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nerf.host.lifeline import Relay

ROOT = Path(__file__).parents[2]


def connected():
    """Both ends of a TCP connection."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        client = socket.create_connection(server.getsockname())
        return server.accept()[0], client


def run(first, second, others=('time.sleep(30)',)):
    """Run the code of process 0, and of 1 and more, joined by lifelines; (status, stderr, seconds) of each."""
    codes = [first, second, *others]
    pairs = [connected() for _ in codes[1:]]
    began, started = time.monotonic(), []
    for number, code in enumerate(codes):
        own = {i + 1: pair[0] for i, pair in enumerate(pairs)} if number == 0 else {0: pairs[number - 1][1]}
        descriptors = {peer: connection.fileno() for peer, connection in own.items()}
        setup = (
            'import os, socket, time\nfrom nerf.host.lifeline import Lifeline\n'
            f'line = Lifeline({{i: socket.socket(fileno=f) for i, f in {descriptors}.items()}})\n'
        )
        started.append(
            subprocess.Popen(
                [sys.executable, '-c', setup + code],
                pass_fds=descriptors.values(),
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, 'PYTHONPATH': str(ROOT)},
            )
        )
    for pair in pairs:
        for connection in pair:
            connection.close()
    results = []
    for process in started:
        stderr = process.communicate(timeout=60)[1]
        results.append((process.returncode, stderr, time.monotonic() - began))
    return results


def test_all_finish():
    found = run('time.sleep(1); line.finish()', 'line.finish()', ['line.finish()'])
    assert [(status, stderr) for status, stderr, _ in found] == [(0, '')] * 3


@pytest.mark.parametrize('victim', [0, 1])
def test_killed(victim):
    codes = ['time.sleep(30)', 'time.sleep(30)', 'time.sleep(30)']
    codes[victim] = 'time.sleep(0.5); os.kill(os.getpid(), 9)'
    found = run(codes[0], codes[1], codes[2:])
    for number, (status, stderr, seconds) in enumerate(found):
        if number == victim:
            assert status == -9
            continue
        assert (status, stderr.count('\n')) == (1, 1)
        assert stderr.startswith(f'error: process {victim} is gone (killed, crashed or cut off): start all processes again')
        assert seconds < 15


def test_killed_while_the_others_wait_for_the_end():
    found = run('line.finish()', 'time.sleep(0.5); os.kill(os.getpid(), 9)', ['line.finish()'])
    assert [status for status, *_ in found] == [1, -9, 1]
    assert 'process 1 is gone' in found[2][1]


def test_the_reason_reaches_all():
    found = run('time.sleep(30)', 'time.sleep(0.5); line.stop("process 1 stopped: no data", "no data")')
    assert [(status, stderr) for status, stderr, _ in found] == [
        (1, 'error: process 1 stopped: no data\n'),
        (1, 'error: no data\n'),
        (1, 'error: process 1 stopped: no data\n'),
    ]
    assert max(seconds for *_, seconds in found) < 15


def test_relay_passes_all_on_and_the_end_late(monkeypatch):
    monkeypatch.setattr(Relay, 'DELAY', 1.0)
    with socket.create_server(('127.0.0.1', 0)) as server:
        host, port = Relay('127.0.0.1', server.getsockname()[1]).address.split(':')
        with socket.create_connection((host, int(port))) as client:
            other = server.accept()[0]
            sent = os.urandom(1_000_000)
            client.sendall(b'question')
            assert other.recv(100) == b'question'
            other.sendall(sent)
            other.close()
            began, received = time.monotonic(), b''
            while data := client.recv(2**16):
                received += data
            assert received == sent
            assert 0.9 < time.monotonic() - began < 5
