import errno
import os
import signal
import subprocess
import sys
import types
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image
from room import FOCAL, room_pose, room_view

from nerf.data.capture import __main__ as capture
from nerf.data.capture import images as images_module
from nerf.data.capture import photos as photos_module
from nerf.data.capture.images import copy_photos
from nerf.data.capture.photos import LeftOut
from nerf.data.formats.colmap_model import read_model
from nerf.errors import UserError


@pytest.fixture(autouse=True)
def log(monkeypatch):
    """Leave the log of the other tests as it is."""
    monkeypatch.setattr(capture, 'set_up_logging', lambda: None)


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos')
    for i in range(8):
        imageio.imwrite(folder / f'view {i}.png', room_view(i))
    (folder / 'notes.txt').write_text('not a photo')
    return folder


def test_photos_of_a_room_become_a_scene(photos, tmp_path, capsys):
    pytest.importorskip('pycolmap')
    out = tmp_path / 'scene'
    capture.main([str(photos), f'--out={out}'])
    printed = capsys.readouterr().out
    assert '8 of 8 images have a camera' in printed
    assert 'left out: 1 .txt\n' in printed
    assert printed.endswith(f'train: python main.py --config=configs/photos.py --data_dir={out}\n')
    assert sorted(path.name for path in out.iterdir()) == ['images', 'sparse']
    assert [path.name for path in tmp_path.iterdir()] == ['scene']
    names = sorted(path.name for path in (out / 'images').iterdir())
    assert names == [f'view_{i}.png' for i in range(8)]
    for i, name in enumerate(names):
        np.testing.assert_array_equal(imageio.imread(out / 'images' / name), room_view(i))
    model = read_model(str(out / 'sparse' / '0'))
    assert sorted(image.name for image in model.images) == names
    assert len(model.cameras) == 1
    (camera,) = model.cameras.values()
    assert camera.intrinsics[0, 0] == pytest.approx(FOCAL, rel=0.03)
    # Rotations between views are those that the photos were made with.
    found = {image.name: image.rotation.T for image in model.images}
    for i in range(1, 8):
        wanted = room_pose(0)[0].T @ room_pose(i)[0]
        got = found['view_0.png'].T @ found[f'view_{i}.png']
        angle = np.degrees(np.arccos(np.clip((np.trace(wanted.T @ got) - 1) / 2, -1, 1)))
        assert angle < 0.5
    assert len(model.points) > 100


class Largest:
    """A stand-in for a model of COLMAP's."""

    def __init__(self, count):
        self.count = count

    def num_reg_images(self):
        return self.count


def stand_in(features=100, matched=6, models=(), error=None):
    """A stand-in for pycolmap whose stages find so much."""
    calls = []

    class Database:
        open = classmethod(lambda cls, path: cls())
        __enter__ = lambda self: self  # noqa: E731
        __exit__ = lambda self, *error: None  # noqa: E731
        num_keypoints = lambda self: features  # noqa: E731
        read_two_view_geometry_num_inliers = lambda self: ([0] * matched, [20] * matched)  # noqa: E731

    def mapping(*args):
        if error:
            raise RuntimeError(error)
        return {i: Largest(count) for i, count in enumerate(models)}

    module = types.ModuleType('pycolmap')
    module.calls = calls
    module.logging = types.SimpleNamespace()
    module.CameraMode, module.Device = types.SimpleNamespace(SINGLE='single'), types.SimpleNamespace(cpu='cpu')
    module.Database = Database
    module.extract_features = lambda *args, **options: calls.append(options['image_names'])
    module.match_image_pairs = lambda database, pairing_options, device: calls.append(
        pairing_options['match_list_path'].read_text()
    )
    module.incremental_mapping = mapping
    return module


@pytest.mark.parametrize(
    ('found', 'sentence'),
    [
        ({'features': 0}, 'finding features: found none in 8 images; take sharp photos'),
        ({'matched': 0}, 'matching: none of 28 pairs of images show the same things; take sharp photos'),
        ({'models': ()}, 'mapping: found cameras for 0 images that fit together, expected at least 4; take sharp photos'),
        ({'models': (2, 3)}, 'mapping: found cameras for 3 images that fit together, expected at least 4'),
        ({'error': 'Check failed:\n no way'}, r'mapping: pycolmap failed \(Check failed: no way\)'),
    ],
)
def test_a_stage_that_fails_is_named_and_nothing_is_left(photos, tmp_path, monkeypatch, found, sentence):
    monkeypatch.setitem(sys.modules, 'pycolmap', stand_in(**found))
    with pytest.raises(UserError, match=sentence) as caught:
        capture.capture(str(photos), str(tmp_path / 'scene'))
    assert '\n' not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_largest_model_is_taken_and_every_pair_is_compared(photos, tmp_path, monkeypatch):
    module = stand_in(models=(4, 7, 5))
    images = tmp_path / 'images'
    images.mkdir()
    names = copy_photos(str(photos), images, 1600, LeftOut())
    assert capture.find_cameras(module, tmp_path / 'd', images, tmp_path / 'models').num_reg_images() == 7
    capture.find_features(module, tmp_path / 'd', images, names)
    capture.match(module, tmp_path / 'd', capture.pairs_of(names, is_sequence=False), tmp_path / 'pairs.txt')
    assert module.calls[0] == [f'view_{i}.png' for i in range(8)]
    assert module.calls[1].splitlines()[:2] == ['view_0.png view_1.png', 'view_0.png view_2.png']
    assert len(module.calls[1].splitlines()) == 28


def test_pairs_of_a_sequence_are_near_or_may_close_a_loop():
    names = [str(i) for i in range(60)]
    pairs = capture.pairs_of(names, is_sequence=True)
    assert len(set(pairs)) == len(pairs)
    assert ('3', '13') in pairs
    assert ('3', '14') not in pairs
    assert ('5', '55') in pairs
    assert len(pairs) == 10 * 50 + 45 + (12 * 11 // 2 - 11 - 10)


def test_missing_package_wrong_source_used_folder_and_too_few(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'pycolmap', None)
    with pytest.raises(SystemExit):
        capture.main([str(photos), f'--out={tmp_path / "scene"}'])
    said = (
        "error: pycolmap is not installed, which finds the cameras: pip install -e '.[capture]' in the folder of this project\n"
    )
    assert said in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'pycolmap', stand_in())
    with pytest.raises(UserError, match='exists and is not an empty folder'):
        capture.capture(str(photos), str(photos))
    with pytest.raises(UserError, match='nowhere: no such file or folder; give a folder of photos or a video'):
        capture.capture(str(tmp_path / 'nowhere'), str(tmp_path / 'scene'))
    few = tmp_path / 'few'
    few.mkdir()
    with pytest.raises(UserError, match='few: found no photos'):
        capture.capture(str(few), str(tmp_path / 'scene'))
    imageio.imwrite(few / 'a.png', room_view(0))
    with pytest.raises(UserError, match='few: holds 1 images, expected at least 4'):
        capture.capture(str(few), str(tmp_path / 'scene'))
    (few / 'video.mp4').write_bytes(b'not one')
    with pytest.raises(UserError, match=r'video\.mp4: cannot be read as a video'):
        capture.capture(str(few / 'video.mp4'), str(tmp_path / 'scene'))
    with pytest.raises(SystemExit):
        capture.main([str(few), f'--out={tmp_path / "scene"}', '--max_size=0'])
    assert 'error: --max_size=0: expected at least 1' in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ['few']


def test_a_full_disk_ends_in_a_sentence_and_nothing_is_left(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycolmap', stand_in())
    video = str(tmp_path / 'video.mp4')
    imageio.imwrite(video, np.zeros((12, 32, 48, 3), np.uint8), plugin='FFMPEG', fps=6)

    def fail(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, 'save', fail)
    monkeypatch.setattr(images_module.shutil, 'copyfile', fail)
    for source in (str(photos), video):
        with pytest.raises(UserError, match=r'scene: cannot be read or written \(No space left on device\); check') as caught:
            capture.capture(source, str(tmp_path / 'scene'))
        assert 'as a video' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ['video.mp4']


def test_a_model_that_was_written_in_part_is_refused(photos, tmp_path, monkeypatch):
    class Partial(Largest):
        def write(self, folder):
            for name in ('cameras', 'images', 'points3D'):
                (folder / f'{name}.bin').write_bytes(b'\1\0\0\0\0\0\0\0\1')

    module = stand_in()
    module.incremental_mapping = lambda *args: {0: Partial(8)}
    monkeypatch.setitem(sys.modules, 'pycolmap', module)
    with pytest.raises(UserError, match=r'^mapping: the written model cannot be read \(.*check the space on the disk$'):
        capture.capture(str(photos), str(tmp_path / 'scene'))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, types, time
sys.modules['pycolmap'] = module = types.ModuleType('pycolmap')
module.logging, module.CameraMode = types.SimpleNamespace(), types.SimpleNamespace(SINGLE=0)
module.Device = types.SimpleNamespace(cpu=0)
module.extract_features = lambda *args, **options: (print('at work', flush=True), time.sleep(60))
from nerf.data.capture.__main__ import main
main(sys.argv[1:])
"""


def test_a_killed_capture_leaves_no_scene(photos, tmp_path):
    command = [sys.executable, '-c', KILLED, str(photos), f'--out={tmp_path / "scene"}']
    root = Path(capture.__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert 'at work\n' in iter(process.stdout.readline, '')
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / 'scene').exists()


def test_folders_that_cannot_be_used_end_in_a_sentence(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pycolmap', stand_in())
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot be written'):
        capture.capture(str(photos), str(tmp_path / 'file' / 'scene'))

    def deny(folder):
        if str(folder).startswith(str(photos)):
            raise PermissionError(errno.EACCES, 'Permission denied', folder)
        return scandir(folder)

    scandir = os.scandir

    monkeypatch.setattr(photos_module.os, 'scandir', deny)
    with pytest.raises(UserError, match=r'photos.*: cannot be read or written \(Permission denied\); check your permissions'):
        capture.capture(str(photos), str(tmp_path / 'scene'))
    os.mkfifo(tmp_path / 'video.webm')
    with pytest.raises(UserError, match=r'video\.webm: no such file or folder'):
        capture.capture(str(tmp_path / 'video.webm'), str(tmp_path / 'scene'))
