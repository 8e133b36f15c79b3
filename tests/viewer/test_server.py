import socket
import sys
import urllib.request
import warnings

import imageio.v3 as imageio
import numpy as np
import pytest

from nerf.data import procedural
from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.viewer import stage as stages
from nerf.viewer.panel import Panel
from nerf.viewer.pictures import Settings
from nerf.viewer.server import Address, check, serving
from nerf.viewer.session import Sessions
from nerf.viewer.views import from_browser, view_of

pytest.importorskip('viser')
ANY = Address(port=0)


def test_the_page_is_served_to_this_machine_alone(stage, said, capsys):
    with serving(stage, Sessions(), ANY) as served:
        port = served.get_port()
        with urllib.request.urlopen(f'http://127.0.0.1:{port}') as answer:
            assert answer.status == 200
            assert b'viser' in answer.read().lower()
        assert served.get_host() == '127.0.0.1'
        assert served.request_share_url() is None  # viser's own would make the page public
        np.testing.assert_allclose(served.initial_camera.position, stage.beginning.view.pose[:, 3])
        np.testing.assert_allclose(served.initial_camera.look_at, 0, atol=0.2)
    assert said() == [('INFO', f'viewer: open http://localhost:{port} in a browser')]
    assert capsys.readouterr().out == ''
    with pytest.raises(OSError, match='refused'):
        urllib.request.urlopen(f'http://127.0.0.1:{port}')


def test_a_page_that_closes_is_nothing_to_warn_of(stage):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with serving(stage, Sessions(), ANY):
            warnings.warn('Queued a BackgroundImageMessage on a closed connection (by a handle)', stacklevel=1)


def test_other_machines_are_let_in_with_a_warning(stage, said):
    with serving(stage, Sessions(), Address('0.0.0.0', 0)):
        assert said()[1][0] == 'WARNING'
        assert said()[1][1].startswith('--host=0.0.0.0: whoever reaches this machine can look')


def test_a_port_that_is_taken_is_named():
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=rf'^--port={port}: nothing can be served there .* choose another --port$'):
            check(Address(port=port))
    check(Address(port=port))
    with pytest.raises(UserError, match=r'^--host=no.such.host.invalid: is no address of this machine'):
        check(Address('no.such.host.invalid', port))


def test_without_viser_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, 'viser', None)
    with pytest.raises(UserError, match=r"^viser is not installed, which the viewer needs: pip install -e '\.\[viewer\]' in "):
        check(ANY)


def test_a_page_shows_what_goes_on_besides_pictures(page, stage, new_client):
    client, sessions, _ = page
    text, bar = client.controls['ready'], client.controls[0.0]
    assert not bar.visible
    sessions.report('training 3/12, 20.50 dB', 0.25)
    assert (text.content, bar.value, bar.visible) == ('training 3/12, 20.50 dB', 25.0, True)
    late = new_client()
    Panel(late, stage, sessions)  # a page that opens later
    assert late.controls['training 3/12, 20.50 dB'].content == 'training 3/12, 20.50 dB'
    assert (late.controls[0.0].value, late.controls[0.0].visible) == (25.0, True)
    sessions.report('trained, 12 steps')
    assert (text.content, bar.visible) == ('trained, 12 steps', False)


def test_a_page_asks_for_what_its_controls_say(page):
    client, sessions, _ = page
    errand = sessions.next_request(0)
    np.testing.assert_allclose(errand.view.pose, from_browser(client.camera.wxyz, client.camera.position))
    assert (errand.view.fov, errand.view.aspect, errand.settings) == (0.8, 1.5, Settings('rgb', -1, 512**2))
    client.camera.moved[0](None)
    assert sessions.next_request(0) is None  # it has not moved
    client.controls['Show'].use('surface normals')
    client.controls['Resolution'].use('256')
    assert sessions.next_request(0).settings == Settings('normals', -1, 256**2)
    client.camera.position = np.array([0.0, -9.0, 1.0])
    client.camera.moved[0](None)
    assert sessions.next_request(0).view.pose[2, 3] == 1
    client.controls['Field of view'].use(90)
    assert client.camera.fov == pytest.approx(np.pi / 2)


def test_what_is_shown_has_plain_names(page):
    assert page[0].controls['Show'].options == (
        *('colour', 'depth', 'distance (mean)', 'distance (median)', 'opacity'),
        *('surface normals', "surface normals, in the camera's axes"),
    )


def test_a_screenshot_is_the_picture_as_a_png(page):
    client, _, panel = page
    client.controls['Screenshot'].use()
    assert client.downloads == []  # there is no picture yet
    picture = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8)
    panel.show(picture, None)
    client.controls['Screenshot'].use()
    ((name, content, is_saved),) = client.downloads
    assert (name, is_saved) == ('screenshot.png', True)
    np.testing.assert_array_equal(imageio.imread(content, extension='.png'), picture)
    for _ in range(200):
        client.controls['Screenshot'].use()
    assert len(client.downloads) == 100


def test_a_pass_without_colours_is_not_shown_in_colour(page):
    client, sessions, _ = page
    client.controls['Show'].use('opacity')
    client.controls['Level'].use('proposal')
    assert 'colour' not in client.controls['Show'].options
    assert sessions.next_request(0).settings[:2] == ('acc', -2)
    client.controls['Level'].use('final')
    assert client.controls['Show'].options[0] == 'colour'


def test_training_cameras_are_drawn_and_lead_to_where_they_are(page, stage):
    client, sessions, panel = page
    assert len(client.marks) == 60
    mark, drawn = stage.marks[7], client.marks[f'/cameras/{stage.marks[7].name}']
    np.testing.assert_allclose(from_browser(drawn.more['wxyz'], drawn.more['position']), mark.view.pose, atol=1e-6)
    first = client.marks[f'/cameras/{stage.marks[0].name}']
    assert first.more['image'].shape == (16, 16, 3)
    assert np.ptp(first.more['image']) > 0  # its photo
    assert drawn.visible
    drawn.use()
    np.testing.assert_allclose(client.camera.position, mark.view.pose[:, 3])
    np.testing.assert_allclose(client.camera.look_at, [0, 0, 0], atol=0.3)
    np.testing.assert_allclose(client.camera.up_direction, mark.view.pose[:, 1])
    client.camera.moved[0](None)
    assert not drawn.visible  # it would hide everything
    assert first.visible
    panel.show('picture', 'depth')
    client.controls['Training cameras'].use(False)
    assert not first.visible
    panel.show('picture', 'depth')
    assert client.pictures == [('picture', 'depth'), ('picture', None)]
    assert 0 < stage.mark_scale < 0.2
    panel.close()
    assert len(sessions) == 0


def test_values_that_no_control_offers_change_nothing(page, stage, said):
    client, sessions, _ = page
    before = sessions.next_request(0)
    for label, values in {
        'Show': ('no such\0thing', None, ['colour']),
        'Level': ('x' * 10_000, 7),
        'Resolution': ('0', '10000000000', float('nan')),
        'Seconds to the next': (float('nan'), 'long', None, [1]),
        'Keyframe': ('7', 3, None),
        'Field of view': (float('nan'), 'wide', 10**400, None),
    }.items():
        control = client.controls[label]
        fine = control.value
        for value in values:
            control.value = value
            control.use()
        control.use(fine)
    assert sessions.next_request(0) is None
    assert before.settings == next(iter(sessions._sessions)).settings
    client.controls['Field of view'].use(1e300)
    assert 0 < client.camera.fov <= np.pi  # within the limits of the control
    assert all('\n' not in line and '\0' not in line for _, line in said())


@pytest.mark.parametrize(
    'odd',
    [
        {'position': np.array([np.nan, 0, 0])},
        {'position': np.array([1e30, 0, 0])},
        {'position': np.zeros(2)},
        {'wxyz': np.zeros(4)},
        {'wxyz': np.array('text')},
        {'fov': 0.0},
        {'fov': np.nan},
        {'aspect': -1.5},
        {'aspect': np.inf},
        {'aspect': None},
    ],
)
def test_a_camera_that_is_none_is_ignored(page, odd):
    client, sessions, _ = page
    before = sessions.next_request(0).view
    fine = dict(vars(client.camera))
    vars(client.camera).update(odd)
    client.camera.moved[0](None)
    assert sessions.next_request(0) is None
    client.controls['Training cameras'].use(False)
    assert sessions.next_request(0).view is before
    client.controls['Add keyframe'].use()
    assert client.controls[''].content.startswith('Not added')
    vars(client.camera).update(fine)
    client.controls['Add keyframe'].use()
    assert client.controls[''].content == '1 keyframe'


def test_a_window_without_height_is_no_view():
    class Handle:
        wxyz, position, fov = (1.0, 0, 0, 0), (0.0, 0, 0), 0.8

        @property
        def aspect(self):
            return 300 / 0

    assert view_of(Handle()) is None


def test_marks_are_chosen_evenly_and_do_not_touch(stage, monkeypatch):
    monkeypatch.setattr(stages, 'MOST_MARKS', 7)
    names, split, cameras = procedural.views(16)
    scene = Scene(names, split, np.zeros((0, 4), np.uint8), cameras)
    marks = stages.make_marks(scene, 'white')
    train = scene.indices('train')
    assert [mark.name for mark in marks] == [scene.stem(train[i]) for i in (0, 10, 20, 30, 39, 49, 59)]
    assert marks[0].photo is None
    positions = cameras.camera_to_world[train][:, :, 3]
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1) + 9 * np.eye(60)
    assert stages.mark_scale(scene, 4.0) == pytest.approx(min(0.15 * np.median(apart.min(1)), 0.12), rel=1e-5)
