import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from nerf.paths import files
from nerf.paths.files import read_path_file
from nerf.viewer import path_panel
from nerf.viewer.views import from_browser


def add_keyframes(client, *xs):
    for x in xs:
        client.camera.position = np.array([float(x), -9.0, 0.0])
        client.controls['Add keyframe'].use()


def test_a_path_of_keyframes_is_saved(page, stage):
    client, _, _ = page
    client.controls['Save path'].use()
    assert client.controls[''].content.startswith('0 keyframes found, expected at least two')
    client.controls['Add keyframe'].use()
    client.controls['Clear'].use()
    assert client.marks['/keyframes/1'].is_gone
    assert (client.controls['Keyframe'].options, client.controls[''].content) == (('none',), '')
    add_keyframes(client, 0, 1, 2)
    assert client.controls[''].content == '3 keyframes, 4 s'
    client.controls['Save path'].use()
    path = stage.model_dir / 'path.json'
    assert f'--task=video --path=file --path_file={path}`' in client.controls[''].content
    found = read_path_file(str(path))
    assert (found.size, found.fps, len(found.poses)) == ((16, 16), 30, 120)
    np.testing.assert_allclose(found.poses[0], from_browser(client.camera.wxyz, [0, -9, 0]), atol=1e-5)
    np.testing.assert_allclose(found.poses[-1, :, 3], [2, -9, 0], atol=1e-5)


def test_a_keyframe_does_not_hide_the_view_that_it_was_made_of(page):
    client, _, _ = page
    client.camera.position = np.array([5.0, -9.0, 0.0])
    client.camera.moved[0](None)
    client.controls['Add keyframe'].use()
    assert not client.marks['/keyframes/1'].visible
    client.camera.position = np.array([0.0, -9.0, 0.0])
    client.camera.moved[0](None)
    assert client.marks['/keyframes/1'].visible
    client.controls['Training cameras'].use(False)
    assert not client.marks['/keyframes/1'].visible


def test_one_keyframe_is_removed_and_each_has_its_seconds(page, stage):
    client, _, _ = page
    client.controls['Remove keyframe'].use()
    assert client.controls[''].content == 'Choose a keyframe to remove.'
    client.controls['Seconds to the next'].use(1.0)
    add_keyframes(client, 0, 1, 2, 3)
    chosen, seconds, said = (client.controls[each] for each in ('Keyframe', 'Seconds to the next', ''))
    assert (chosen.options, chosen.value, said.content) == (('1', '2', '3', '4'), '4', '4 keyframes, 3 s')
    chosen.use('2')
    seconds.use(5.5)
    chosen.use('1')
    assert seconds.value == 1.0
    chosen.use('2')
    assert (seconds.value, said.content) == (5.5, '4 keyframes, 7.5 s')
    chosen.use('3')
    client.controls['Remove keyframe'].use()
    assert [name for name, mark in client.marks.items() if mark.is_gone] == ['/keyframes/3']
    assert (chosen.options, chosen.value, said.content) == (('1', '2', '3'), '3', '3 keyframes, 6.5 s')
    client.marks['/keyframes/2'].use()  # a click on it chooses it, and moves there
    assert (chosen.value, list(client.camera.position)) == ('2', [1, -9, 0])
    seconds.use(1e300)
    assert said.content == '3 keyframes, 61 s'
    seconds.use(float('nan'))
    assert said.content == '3 keyframes, 61 s'
    seconds.use(2.5)
    chosen.use('17')  # none of the page's
    client.controls['Remove keyframe'].use()
    assert said.content == 'Choose a keyframe to remove.'
    client.controls['Save path'].use()
    found = read_path_file(str(stage.model_dir / 'path.json')).poses[:, 0, 3]
    assert len(found) == 105
    np.testing.assert_allclose(np.interp([0, 1, 3.5], np.linspace(0, 3.5, 105), found), [0, 1, 3], atol=0.02)


def test_a_saved_path_is_never_overwritten(page, stage):
    client, _, _ = page
    add_keyframes(client, 0, 1)
    client.controls['Save path'].use()
    before = (stage.model_dir / 'path.json').read_bytes()
    client.controls['Save path'].use()  # the same
    assert f'Saved {stage.model_dir / "path.json"}' in client.controls[''].content
    (stage.model_dir / 'path_2.json').symlink_to(stage.model_dir / 'elsewhere.json')
    add_keyframes(client, 2)
    client.controls['Save path'].use()
    assert f'Saved {stage.model_dir / "path_3.json"}' in client.controls[''].content
    assert sorted(each.name for each in stage.model_dir.glob('*.json')) == ['path.json', 'path_2.json', 'path_3.json']
    assert (stage.model_dir / 'path.json').read_bytes() == before
    assert not (stage.model_dir / 'elsewhere.json').exists()


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_path_is_played_in_its_time_and_can_be_stopped(page, monkeypatch):
    client, _, panel = page
    play = client.controls['Play']
    play.use()
    assert client.controls[''].content.startswith('0 keyframes found')
    client.controls['Seconds to the next'].use(0.2)
    add_keyframes(client, 0, 1, 4)
    seen, move = [], panel._path._move
    monkeypatch.setattr(path_panel, 'MOVES', 50)
    monkeypatch.setattr(panel._path, '_move', lambda view, up: seen.append((time.monotonic(), view)) or move(view, up))
    client.camera.position = np.zeros(3)
    began = time.monotonic()
    play.use()
    wait_until(lambda: play.label == 'Play')
    assert time.monotonic() - began > 0.37
    xs = [view.pose[0, 3] for _, view in seen]
    assert (np.diff(xs) >= 0).all()
    assert xs[0] < 1
    np.testing.assert_allclose(client.camera.position, [4, -9, 0], atol=1e-5)
    np.testing.assert_allclose(client.camera.up_direction, seen[-1][1].pose[:, 1])
    assert client.camera.fov == pytest.approx(0.8)
    client.marks['/keyframes/1'].use()
    client.controls['Seconds to the next'].use(60.0)
    for end in (play.use, panel.close):
        play.use()
        assert play.label == 'Stop'
        end()
        assert play.label == 'Play'
        time.sleep(0.05)
        count = len(seen)
        time.sleep(0.1)
        assert len(seen) == count
    play.use()  # the page is closed
    assert play.label == 'Play'
    time.sleep(0.1)
    assert len(seen) == count


def test_paths_that_cannot_be_saved_end_in_a_sentence_on_the_page(page, stage, monkeypatch, said):
    client, _, panel = page
    monkeypatch.setattr(path_panel, 'MOST_KEYFRAMES', 2)
    for _ in range(3):
        client.controls['Add keyframe'].use()
    assert client.controls[''].content.startswith('Not added: 2 keyframes at most')
    panel._path._stage = dataclasses.replace(stage, fps=10**6)
    client.controls['Save path'].use()
    assert client.controls[''].content == '2000000 frames found, expected 100000 at most: take fewer seconds'
    panel._path._stage = dataclasses.replace(stage, model_dir=Path('/dev/null'))
    client.controls['Save path'].use()
    assert 'path.json: cannot be written' in client.controls[''].content
    panel._path._stage = dataclasses.replace(stage, model_dir=Path('a\0b'))
    client.controls['Save path'].use()  # raises ValueError
    assert said()[-1] == ('WARNING', 'viewer: a request of a browser failed (ValueError: embedded null byte)')
    panel._path._stage = stage
    monkeypatch.setattr(files, 'MOST_FILES', 0)
    client.controls['Save path'].use()
    assert '0 camera paths found, expected fewer' in client.controls[''].content
