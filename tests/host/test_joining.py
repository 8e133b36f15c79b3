"""The processes of a run find each other, or each says in one sentence why not. JAX has no part in it."""

import socket
import threading
import time

import pytest

from nerf.errors import UserError
from nerf.host.joining import meet, parse_address
from nerf.host.lifeline import send


def free_port():
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        return probe.getsockname()[1]


@pytest.fixture
def address():
    return f'localhost:{free_port()}'


@pytest.mark.parametrize(
    ('coordinator', 'expected'),
    [('localhost:1234', ('localhost', 1234)), ('127.0.0.1:1', ('127.0.0.1', 1)), ('[::1]:65535', ('::1', 65535))],
)
def test_addresses(coordinator, expected):
    assert parse_address(coordinator) == expected


@pytest.mark.parametrize(
    'coordinator', ['', 'localhost', ':1234', 'localhost:', 'localhost:abc', 'localhost:0', 'localhost:99999', '::::', '::1:80']
)
def test_wrong_addresses(coordinator):
    with pytest.raises(UserError, match='expected host:port with a port from 1 to 65535'):
        parse_address(coordinator)


def test_a_host_that_does_not_exist():
    with pytest.raises(UserError, match=r'--coordinator=no\.such\.host\.invalid:1234: the host .* is not found'):
        parse_address('no.such.host.invalid:1234')


@pytest.mark.parametrize(('count', 'number', 'flag'), [(0, 0, 'num_processes'), (2, 2, 'process_id'), (2, -1, 'process_id')])
def test_numbers_that_cannot_be(address, count, number, flag):
    with pytest.raises(UserError, match=f'--{flag}=.*: expected'):
        meet(address, count, number, 1)


def test_a_port_that_is_taken():
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f'port {port} of this machine is taken'):
            meet(f'localhost:{port}', 2, 0, 1)


def together(address, processes, wait=5):
    """What `meet` gives or raises in each of (num_processes, process_id), each in its thread."""
    found = {}

    def join(i, count, number):
        try:
            found[i] = meet(address, count, number, wait)
        except UserError as error:
            found[i] = str(error)

    threads = [threading.Thread(target=join, args=(i, *each)) for i, each in enumerate(processes)]
    for thread in threads:
        thread.start()
        time.sleep(0.3)  # the first comes first
    for thread in threads:
        thread.join(30)
    return [found[i] for i in range(len(processes))]


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 1, 0)])
def test_three_meet_and_are_connected(address, order):
    met = dict(zip(order, together(address, [(3, number) for number in order]), strict=True))
    assert {number: set(peers) for number, peers in met.items()} == {0: {1, 2}, 1: {0}, 2: {0}}
    for number in (1, 2):
        send(met[0][number], to=number)
        assert met[number][0].makefile().readline() == f'{{"to": {number}}}\n'
    # JAX opens the same port next, while these connections last.
    socket.create_server(('', int(address.rpartition(':')[2]))).close()


def test_one_that_does_not_come_is_named_by_all(address):
    began = time.monotonic()
    found = together(address, [(3, 0), (3, 2)], wait=1)
    assert time.monotonic() - began < 5
    expected = f'--coordinator={address}: 1 process of 3 did not come within 1 s (--process_id=1)'
    assert all(sentence.startswith(expected) for sentence in found)


def test_process_0_does_not_come(address):
    assert 'process 0 did not come within 1 s (Connection refused)' in together(address, [(2, 1)], wait=1)[0]


def test_other_numbers_of_processes(address):
    found = together(address, [(3, 0), (2, 1)])
    assert found == ['--num_processes=2 in process 1 and 3 in process 0: give all the same number'] * 2


def test_a_number_given_twice(address):
    found = together(address, [(3, 0), (3, 1), (3, 1)])
    assert found == ['--process_id=1 was given to two processes: give each its own, from 0 to 2'] * 3


def test_another_program_at_the_address():
    with socket.create_server(('localhost', 0)) as other:
        threading.Thread(target=lambda: other.accept()[0].sendall(b'SSH-2.0\r\n'), daemon=True).start()
        found = together(f'localhost:{other.getsockname()[1]}', [(2, 1)], wait=1)
    assert 'found no process 0 that waits for others there, but another program' in found[0]
