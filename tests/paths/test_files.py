import json
import os

import numpy as np
import pytest

from nerf.data.scene import stack_cameras
from nerf.errors import UserError
from nerf.paths.files import read_path_file, save_path_file

POSE = [[1.0, 0, 0, 0.1], [0, 0, -1, 0.2], [0, 1, 0, 0.3]]
FULL = [*POSE, [0.0, 0, 0, 1]]
FLAT = [value for row in FULL for value in row]


def written(folder, content):
    path = folder / 'path.json'
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def nerfstudio(**changes):
    frames = [{'camera_to_world': FLAT, 'fov': fov, 'aspect': 2.0} for fov in (90.0, 53.13010235415598)]
    content = {'camera_type': 'perspective', 'render_height': 300, 'render_width': 600, 'fps': 24, 'seconds': 4}
    return {**content, 'camera_path': frames, **changes}


def test_nerfstudio_says_how_high_the_view_is(tmp_path):
    read = read_path_file(written(tmp_path, nerfstudio()))
    np.testing.assert_array_equal(read.poses, [POSE, POSE])
    np.testing.assert_allclose(read.lenses, [[150, 150, 300, 150], [300, 300, 300, 150]])  # tan of 45 degrees and of 1 / 2
    assert read.size == (600, 300)
    assert read.fps == 24
    assert read_path_file(written(tmp_path, nerfstudio(fps=None))).fps == 0.5  # 2 frames in 4 seconds


@pytest.mark.parametrize('frame', [POSE, FULL, FLAT, FLAT[:12], {'camera_to_world': POSE}, {'camera_to_world': FLAT}])
def test_poses_may_be_given_in_any_way(tmp_path, frame):
    for content in ([frame, frame], {'frames': [frame, frame]}):
        read = read_path_file(written(tmp_path, content))
        np.testing.assert_array_equal(read.poses, [POSE, POSE])
        assert np.isnan(read.lenses).all()
        assert read.size is read.fps is None


def test_lenses_may_be_given_in_part(tmp_path):
    frames = [{'camera_to_world': POSE, 'fl_x': 50, 'cy': 7.5}, POSE]
    read = read_path_file(written(tmp_path, frames))
    np.testing.assert_array_equal(read.lenses, [[50, 50, np.nan, 7.5], [np.nan] * 4])


def test_what_is_written_is_read_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    poses = np.concatenate([np.linalg.qr(rng.normal(size=(5, 3, 3)))[0], rng.normal(size=(5, 3, 1))], axis=2)
    poses[:, :, 0] *= np.linalg.det(poses[:, :, :3])[:, None]
    lenses = np.tile(np.eye(3), (5, 1, 1))
    lenses[:, [0, 1, 0, 1], [0, 1, 2, 2]] = rng.uniform(10, 90, (5, 4))
    cameras = stack_cameras(poses, lenses, np.full((5, 2), (64, 48)), 2.0, 6.0)
    file = tmp_path / 'path.json'
    save_path_file(str(file), cameras, 29.97)
    read = read_path_file(str(file))
    np.testing.assert_array_equal(read.poses.astype(np.float32), cameras.camera_to_world)
    np.testing.assert_array_equal(read.lenses.astype(np.float32), cameras.camera_to_pixel[:, [0, 1, 0, 1], [0, 1, 2, 2]])
    assert (read.size, read.fps) == ((64, 48), 29.97)
    assert [each.name for each in tmp_path.iterdir()] == ['path.json']
    with pytest.raises(UserError, match='cannot be written'):
        save_path_file(str(tmp_path / 'no' / 'path.json'), cameras, 30)


def turned(row, column, value):
    pose = [list(each) for each in POSE]
    pose[row][column] = value
    return pose


MIRRORED = [[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        ('{"frames": [', 'is not valid JSON'),
        ('[' * 100_000, 'is not valid JSON'),
        (7, 'no list of frames found, expected 1 to 100000'),
        ({}, 'no list of frames found'),
        ([], '0 frames found'),
        ([0] * 100_001, '100001 frames found'),
        ({'camera_path': []}, '0 frames found'),
        ([POSE, 'x'], 'frame 1: camera_to_world is not 3 or 4 rows of 4 numbers'),
        ([{}], 'frame 0: camera_to_world is not'),
        ([[[1, 0], [0, 1]]], 'frame 0: camera_to_world is not'),
        ([[*POSE[:2], [1]]], 'frame 0: camera_to_world is not'),
        ([[*POSE[:2], [10**400, 0, 0, 0]]], 'frame 0: camera_to_world is not'),
        ([POSE, turned(1, 3, float('nan'))], 'frame 1: camera_to_world has a number that is not finite'),
        ([turned(1, 3, 1e200)], 'frame 0: camera_to_world has a number that is not finite'),
        ([turned(0, 0, 2.0)], 'frame 0: the 3x3 part of camera_to_world is no rotation'),
        ([MIRRORED], 'frame 0: the 3x3 part of camera_to_world is no rotation'),
        ([{'camera_to_world': POSE, 'w': 10**9, 'h': 10}], 'frame 0: w, h are 1000000000, 10, expected whole numbers'),
        ([{'camera_to_world': POSE, 'w': 10}], 'frame 0: w, h are 10, None'),
        ([{'camera_to_world': POSE, 'w': 10.5, 'h': 10}], 'w, h are 10.5, 10'),
        ([{'camera_to_world': POSE, 'w': 10, 'h': w} for w in (9, 10)], 'frames of 2 sizes found'),
        ([{'camera_to_world': POSE, 'fl_x': -1}], 'frame 0: fl_x is -1, expected a number from 0.001'),
        ([{'camera_to_world': POSE, 'cx': 'a'}], 'frame 0: cx is a, expected a number'),
        ({'frames': [POSE], 'fps': 0}, 'fps is 0, expected'),
        ([POSE, turned(0, 3, 1e12)], 'frame 1: camera_to_world has a number that is not finite or beyond 1e[+]09'),
        ([turned(0, 0, float('nan'))], 'frame 0: camera_to_world has a number that is not finite'),
        ([[*FLAT[:11], float('inf')]], 'frame 0: camera_to_world has a number that is not finite'),
        ([[*FLAT[:11], True]], 'frame 0: camera_to_world is not'),
        ([['x' * 10_000_000, *[0] * 100_000]], 'frame 0: camera_to_world is not'),  # 4 TB as an array of NumPy
        ([{'camera_to_world': POSE, 'w': 'x\n' * 10**6, 'h': 10}], r"w, h are 'x\\n.{0,40}, 10, expected"),
        ([{'camera_to_world': POSE, 'cx': 'a\nb'}], 'frame 0: cx is a b, expected a number'),
        (nerfstudio(camera_type=['fisheye'] * 10**5), r"camera_type \['fisheye', .{0,40} found, expected perspective"),
        (nerfstudio(fps=None, seconds=1e-300), 'frames per second is 1.9.*e[+]300, expected a number from 0.01 to 1000'),
        (nerfstudio(camera_type='fisheye'), "camera_type 'fisheye' found, expected perspective"),
        (nerfstudio(render_width=None), 'render_width, render_height are None, 300'),
        (nerfstudio(render_width=None, render_height=None), 'lacks render_width and render_height'),
        (nerfstudio(camera_path=[{'camera_to_world': FLAT}]), 'frame 0 lacks fov'),
        (nerfstudio(camera_path=[{'camera_to_world': FLAT, 'fov': 180}]), 'frame 0: fov is 180, expected'),
    ],
)
def test_files_that_are_no_paths_end_in_a_sentence(tmp_path, content, said):
    with pytest.raises(UserError, match=said) as raised:
        read_path_file(written(tmp_path, content))
    assert 'path.json: ' in str(raised.value)
    assert '\n' not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ('part', 'count', 'said'),
    [
        ('{"frames": [', 100_000, 'is not valid JSON'),
        ('9', 5000, 'is not valid JSON'),
        ('0,', 10_000_000, 'has more values than 100000 frames need'),
        ('[],', 7_000_000, 'has more values than 100000 frames need'),
    ],
)
def test_sizes_are_checked_before_memory_is_taken(tmp_path, part, count, said):
    with pytest.raises(UserError, match=said):
        read_path_file(written(tmp_path, '[' + part * count + '0]'))


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(UserError, match='no such file, expected a camera path'):
        read_path_file(str(tmp_path / 'missing.json'))
    with pytest.raises(UserError, match='cannot be read'):
        read_path_file(str(tmp_path))
    os.mkfifo(tmp_path / 'pipe.json')
    os.symlink('/dev/zero', tmp_path / 'device.json')
    for name in ('pipe.json', 'device.json'):
        with pytest.raises(UserError, match=rf'{name}: is a pipe or a device, expected a file with a camera path'):
            read_path_file(str(tmp_path / name))
    (tmp_path / 'binary.json').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(UserError, match='is no text in UTF-16'):
        read_path_file(str(tmp_path / 'binary.json'))
    monkeypatch.setattr('nerf.paths.files.MAX_BYTES', 2)
    with pytest.raises(UserError, match='expected a camera path; check the file'):
        read_path_file(written(tmp_path, [POSE]))


def test_a_mark_at_the_beginning_is_understood(tmp_path):
    path = tmp_path / 'path.json'
    path.write_text('[[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]]', encoding='utf-16')
    assert read_path_file(str(path)).poses[0, :, 3].tolist() == [0, 0, 2]
