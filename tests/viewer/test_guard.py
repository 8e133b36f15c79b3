"""The viewer's server among pages and messages that are not its own."""

import logging
import socket
import time

import numpy as np
import pytest

from nerf.errors import UserError
from nerf.viewer import failures, guard, server
from nerf.viewer.guard import Guard, is_own, is_sensible, names_of
from nerf.viewer.server import Address, serving
from nerf.viewer.session import Sessions

pytest.importorskip('viser')
msgpack = pytest.importorskip('msgspec').msgpack
ANY = Address(port=0)


@pytest.fixture
def sessions():
    return Sessions()


@pytest.fixture
def served(stage, sessions):
    with serving(stage, sessions, ANY) as running:
        yield running


@pytest.fixture
def said(caplog, monkeypatch):
    """What the viewer logs."""
    monkeypatch.setattr(failures._log, 'propagate', True)
    caplog.set_level('INFO', logger='nerf')
    return lambda: [record.getMessage() for record in caplog.records]


def status(port, *headers, host='127.0.0.1', method='GET'):
    """The status of an HTTP request with these headers alone, and of the viewer's websocket where they ask for it."""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall('\r\n'.join([f'{method} / HTTP/1.1', *headers, '', '']).encode())
        return int(connection.recv(4096).split()[1])


UPGRADE = (
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
)


@pytest.mark.parametrize('more', [(), UPGRADE])
def test_only_the_viewers_own_page_is_answered(served, more):
    port, fine = served.get_port(), 101 if more else 200
    for host in ('localhost', '127.0.0.1', '[::1]', 'LocalHost'):
        assert status(port, f'Host: {host}:{port}', *more) == fine
        assert status(port, f'Host: {host}:{port}', f'Origin: http://{host}:{port}', *more) == fine
    own = f'Host: localhost:{port}'
    for headers in [
        (),
        ('Host: localhost',),
        (f'Host: rebound.example:{port}',),
        (f'Host: localhost.example:{port}',),
        (f'Host: user@localhost:{port}',),
        (f'Host: localhost:{port + 1}',),
        (f'Host: 192.0.2.7:{port}',),
        (own, own),
        (own, 'Origin: http://example.com'),
        (own, 'Origin: null'),
        (own, 'Origin:'),
        (own, f'Origin: https://localhost:{port}'),
        (own, f'Origin: http://localhost:{port + 1}'),
        (own, f'Origin: http://localhost:{port}.example.com'),
        (own, f'Origin: http://localhost:{port}/'),
        (own, f'Origin: http://localhost:{port}', 'Origin: http://example.com'),
    ]:
        assert status(port, *headers, *more) == 403, headers


def test_the_host_decides_under_which_names_the_page_is_answered(monkeypatch):
    monkeypatch.setattr(guard.socket, 'gethostname', lambda: 'Desk')
    monkeypatch.setattr(guard.socket, 'getfqdn', lambda: 'desk.home.example')
    places = {'192.0.2.7': ['192.0.2.7'], 'desk': ['192.0.2.7', '2001:db8::7'], 'localhost': ['127.0.0.1']}
    monkeypatch.setattr(
        guard.socket, 'getaddrinfo', lambda host, *_, **__: [(0, 0, 0, '', (place, 0)) for place in places.get(host, ())]
    )
    local = {'localhost', '127.0.0.1', '::1'}
    assert names_of('127.0.0.1') == names_of('localhost') == local
    assert names_of('192.0.2.7') == {'192.0.2.7'}
    assert names_of('desk') == {'desk', '192.0.2.7', '2001:db8::7'}
    every = names_of('0.0.0.0')
    assert every == local | {'0.0.0.0', 'desk', 'desk.local', 'desk.home.example', '192.0.2.7', '2001:db8::7'}
    assert is_own(['[2001:DB8:0::7]:80'], ['http://[2001:db8::7]'], every, 80)
    assert not is_own(['[2001:db8::8]'], [], every, 80)


def test_all_addresses_are_those_of_this_machine(stage):
    with serving(stage, Sessions(), Address('0.0.0.0', 0)) as running:
        port = running.get_port()
        assert status(port, f'Host: 127.0.0.2:{port}', host='127.0.0.2') == 200  # the one it was reached by
        assert status(port, f'Host: {socket.gethostname()}:{port}') == 200
        assert status(port, f'Host: 198.51.100.9:{port}') == 403
        assert status(port, f'Host: rebound.example:{port}') == 403


def test_a_viser_that_cannot_be_guarded_serves_nothing(stage, monkeypatch):
    stopped = []

    class Unguarded:
        def __init__(self, **_):
            pass

        def stop(self):
            stopped.append(self)

    monkeypatch.setattr(server, '_server_class', lambda _: Unguarded)
    with pytest.raises(UserError, match='cannot guard this version of viser'), serving(stage, Sessions(), ANY):
        pytest.fail('served')
    assert len(stopped) == 1
    with pytest.raises(UserError):
        Guard('localhost').check_active()


VIEW = {
    'wxyz': [0, 1, 0, 0],
    'position': [0, 0, 4.0],
    'fov': 0.8,
    'near': 0.01,
    'far': 1000,
    'image_height': 300,
    'image_width': 400,
    'look_at': [0, 0, 0],
    'up_direction': [0, 0, 1],
}
NAN, INF = float('nan'), float('inf')


def camera(**changes):
    return {'type': 'ViewerCameraMessage', **VIEW, **changes}


def control(value, **changes):
    return {'type': 'GuiUpdateMessage', 'uuid': 'u', 'updates': {'value': value}, **changes}


ODD = [
    *(camera(image_width=value) for value in (0, -400, NAN, INF, '400', None, True, 1e30)),
    *(camera(image_height=value) for value in (0, -300, NAN)),
    camera(image_width=1, image_height=30_000),
    *(camera(fov=value) for value in (0, -1, NAN, 4.0, 1e-9, '1')),
    *(camera(position=value) for value in ([NAN, 0, 0], [INF, 0, 0], [1e30, 0, 0], [0, 0], 'abc', None, [[0], 0, 0])),
    *(camera(wxyz=value) for value in ([0, 0, 0, 0], [NAN, 0, 0, 0], [5, 0, 0, 0], [1, 0, 0], {})),
    camera(look_at=[0, NAN, 0]),
    camera(up_direction='up'),
    camera(near=NAN),
    *(
        control(value)
        for value in (
            NAN,
            INF,
            1e300,
            2**63,
            'a\0b',
            'a' * 10**4,
            None,
            [1],
            [1, 2, 3],
            [1, NAN],
            [1, 'a'],
            [1, True],
            [[1], [2]],
            {'value': 1},
        )
    ),
    control(1, updates={'update_cb': []}),
    control(1, updates={'value': 1, 'removed': True}),
    control(1, updates=[]),
    control(1, uuid=3),
    {'type': 'FileTransferStartUpload', 'source_component_uuid': 'u', 'transfer_uuid': 't', 'part_count': 0},
    {'type': 'ShareUrlRequest'},
    {'type': ['ViewerCameraMessage']},
    {'type': 'NoSuchMessage'},
    {},
    [],
    7,
]


def accepts(message):
    try:
        return is_sensible(message)
    except (KeyError, TypeError):
        return False


def test_odd_messages_are_told_from_those_of_the_page():
    assert accepts(camera())
    assert accepts(camera(image_width=1, image_height=900))
    assert all(accepts(control(value)) for value in (True, 3, 0.5, 'colour', [0.5, 2]))
    click = {'type': 'SceneNodeClickMessage', 'name': '/cameras/1', 'ray_origin': [0] * 3, 'ray_direction': [0.5] * 3}
    assert accepts({**click, 'screen_pos': [0.5, 0.5]})
    assert not accepts({**click, 'screen_pos': [NAN, 0.5]})
    assert [message for message in ODD if accepts(message)] == []


def opened(port, **options):
    from viser import __version__
    from websockets.sync.client import connect

    return connect(f'ws://127.0.0.1:{port}', subprotocols=[f'viser-v{__version__}'], compression=None, **options)


def send_and_listen(port, message):
    with opened(port) as browser:
        browser.send(message)
        while True:
            browser.recv(timeout=30)


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


FRAMES = [b'', b'\xc1', b'\x00' * 100, b'\x91' * 50_000, b'\xdd\xff\xff\xff\xff', 'text', '[1]', *map(msgpack.encode, ODD)]


def test_no_message_reaches_the_scene_or_the_terminal_but_the_pages(served, sessions, said, capfd):
    import websockets.exceptions

    port = served.get_port()
    with opened(port) as browser:
        for frame in FRAMES:
            browser.send(frame)
        browser.send(msgpack.encode(camera()))
        wait_until(lambda: sessions.has_requests())
        for frame in FRAMES:
            browser.send(frame)
        browser.send(msgpack.encode(camera(fov=0.5)))
        wait_until(lambda: next(iter(sessions._sessions)).view.fov == 0.5)  # the connection has lasted
        np.testing.assert_allclose(sessions.next_request(0).view.pose[:, 3], [0, 0, 4])
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            send_and_listen(port, bytes(2**17))  # too large: ends this connection alone
        browser.send(msgpack.encode(camera(fov=0.6)))
        wait_until(lambda: sessions.has_requests())
    wait_until(lambda: len(sessions) == 0)
    assert said() == ['viewer: ignored a message of a browser that is none of its page; more are ignored silently']
    printed = ''.join(capfd.readouterr())
    assert 'Traceback' not in printed
    assert 'does not match' not in printed


def test_what_is_no_http_is_answered_without_a_traceback(served, said, capfd):
    port = served.get_port()
    for content in (b'', b'\x16\x03\x01\x02', b'GET\r\n\r\n', b'POST / HTTP/1.1\r\n\r\n', b'A' * 20_000):
        with socket.create_connection(('127.0.0.1', port)) as connection:
            connection.sendall(content)
    with socket.create_connection(('127.0.0.1', port)) as connection:  # a frame that is not masked
        connection.sendall('\r\n'.join(['GET / HTTP/1.1', f'Host: localhost:{port}', *UPGRADE, '', '']).encode() + b'\xff' * 99)
        connection.recv(4096)
    assert status(port, f'Host: localhost:{port}') == 200
    assert 'Traceback' not in ''.join(capfd.readouterr())
    assert said() == []


def test_a_handler_that_fails_is_logged_in_one_line(served, said, capfd):
    async def fail():
        raise ValueError('of\ntwo lines \0')

    loop = served.get_event_loop()
    loop.call_soon_threadsafe(lambda: loop.create_task(fail()) and None)
    wait_until(lambda: len(said()) > 0)
    assert said()[0] == 'viewer: a message of a browser failed (ValueError: of two lines ?)'
    served._websock_server.on_client_connect(lambda _: 1 / 0)
    with opened(served.get_port()):
        wait_until(lambda: len(said()) > 1)
    assert said()[1] == 'viewer: connection handler failed (ZeroDivisionError: division by zero)'
    log = guard._connections_log()
    assert log is guard._connections_log()
    assert len([each for each in log.filters if isinstance(each, guard._OneLine)]) == 1
    log.info('connection open')
    assert len(said()) == 2
    assert logging.getLogger('nerf').isEnabledFor(logging.INFO)
    assert 'Traceback' not in ''.join(capfd.readouterr())


def test_names_of_a_host_that_has_no_address():
    assert names_of('no.such.host.invalid') == {'no.such.host.invalid'}
