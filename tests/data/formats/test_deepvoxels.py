import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from written import FLIP, on_white, small_scene, write_deepvoxels

from nerf.data import formats
from nerf.data.formats import deepvoxels
from nerf.data.options import DataOptions
from nerf.errors import UserError


@pytest.fixture(scope='module')
def scene():
    return small_scene()


@pytest.fixture
def folder(scene, tmp_path):
    write_deepvoxels(tmp_path / 'cube', scene)
    return tmp_path / 'cube'


def load(folder, **options):
    return deepvoxels.load(str(folder), DataOptions(**options))


def same(found, scene):
    assert found.split == scene.split
    for key in ('camera_to_world', 'camera_to_pixel'):
        np.testing.assert_allclose(getattr(found.cameras, key), getattr(scene.cameras, key), atol=1e-5)
    for i in range(len(scene.names)):
        np.testing.assert_array_equal(found.image(i)[..., :3], on_white(scene.image(i)))
    assert (found.pixels[:, 3] == 255).all()
    np.testing.assert_allclose(found.cameras.near, 4 - 1, rtol=1e-5)
    np.testing.assert_allclose(found.cameras.far, 4 + 1, rtol=1e-5)


@pytest.mark.parametrize('normalise', [True, False])
def test_what_was_written_is_read(scene, folder, normalise):
    found = formats.load_scene(None, str(folder.parent), 'cube', DataOptions(normalise=normalise))
    assert found.names[:2] == ('train_000000', 'train_000001')
    assert found.names[-1] == 'test_000002'
    same(found, scene)


def test_archive_with_the_splits_above_the_scenes(scene, tmp_path):
    write_deepvoxels(tmp_path, scene, in_archive=True)
    options = DataOptions()
    same(formats.load_scene(None, str(tmp_path), 'cube', options), scene)
    same(formats.load_scene('deepvoxels', str(tmp_path / 'train'), 'cube', options), scene)
    same(formats.load_scene(None, str(tmp_path / 'train' / 'cube'), '', options), scene)
    files = deepvoxels.sources(str(tmp_path / 'train' / 'cube'), options)
    assert str(tmp_path / 'validation' / 'cube' / 'pose' / '000000.txt') in files


def test_images_show_the_middle_of_what_the_lens_is_for(scene, tmp_path):
    write_deepvoxels(tmp_path, scene, lens_size=(640, 480))
    same(load(tmp_path), scene)
    lens = tmp_path / 'train' / 'intrinsics.txt'
    focal, *rest = lens.read_text().split()
    lens.write_text(' '.join([focal, '319.5', '239.5', *rest[2:3]]) + '\n' + '\n'.join(lens.read_text().splitlines()[1:]))
    same(load(tmp_path), scene)
    lens.write_text('600 335 230 0.\n0 0 0\n0.\n1.\n480 640\n')
    # 480 px of 640 x 480 become 16: 30 times smaller, 80 px cut off at the left.
    expected = [[20, 0, (335 - 80) / 30], [0, 20, 230 / 30], [0, 0, 1]]
    np.testing.assert_allclose(load(tmp_path).camera(0).camera_to_pixel, expected, rtol=1e-6)
    np.testing.assert_allclose(load(tmp_path, factor=2).camera(0).camera_to_pixel[:2], np.array(expected)[:2] / 2, rtol=1e-6)


def test_poses_are_joined_by_name_and_splits_may_be_missing(scene, folder, caplog):
    shutil.rmtree(folder / 'validation')
    (folder / 'test' / 'intrinsics.txt').unlink()
    (folder / 'train' / 'rgb' / '000001.png').unlink()
    with caplog.at_level(logging.WARNING):
        found = load(folder, test_every=2)
    assert 'pose: 1 poses without images' in caplog.text
    assert found.names[:2] == ('train_000000', 'train_000002')
    assert found.names[-2:] == ('test_000000', 'test_000002')
    np.testing.assert_allclose(found.camera(1).camera_to_world, scene.camera(2).camera_to_world, atol=1e-5)
    np.testing.assert_array_equal(found.image(1)[..., :3], on_white(scene.image(2)))
    assert set(found.split) == {'train', 'test'}
    files = deepvoxels.sources(str(folder), DataOptions(test_every=2))
    assert str(folder / 'test' / 'rgb' / '000001.png') not in files
    assert len(files) == 2 + 2 * len(found.names)


def test_middle_of_the_object_becomes_the_origin(scene, folder):
    for split in ('train', 'validation', 'test'):
        lens = folder / split / 'intrinsics.txt'
        lens.write_text(lens.read_text().replace('0. 0. 0.', '1. -2. 3.'))
        for file in (folder / split / 'pose').iterdir():
            pose = np.array(file.read_text().split(), float).reshape(4, 4)
            pose[:3, 3] += [1, -2, 3]
            file.write_text('\n'.join(' '.join(map(str, row)) for row in pose))  # four lines, as some files have
    same(load(folder), scene)
    apart = load(folder, normalise=False, near=1.5, far=7.0)
    np.testing.assert_allclose(
        apart.cameras.camera_to_world[:, :, 3] - scene.cameras.camera_to_world[:, :, 3], [[1, -2, 3]] * 19, atol=1e-5
    )
    assert (apart.cameras.near[0], apart.cameras.far[0]) == (1.5, 7.0)


def test_poses_may_go_from_world_to_camera(scene, folder):
    for split in ('train', 'validation', 'test'):
        with open(folder / split / 'intrinsics.txt', 'a') as lens:
            lens.write('1\n')
        for file in (folder / split / 'pose').iterdir():
            pose = np.array(file.read_text().split(), float).reshape(4, 4)
            file.write_text(' '.join(map(str, np.linalg.inv(pose).ravel())))
    same(load(folder), scene)


def changed(name, change):
    def apply(folder):
        path = folder / name
        path.write_text(change(path.read_text()))

    return apply


MISTAKES = {
    'no pose': (
        lambda folder: (folder / 'train/pose/000002.txt').unlink(),
        r'000002\.png: has no pose, expected .*000002\.txt',
    ),
    'no training': (lambda folder: shutil.rmtree(folder / 'train'), r'train/intrinsics\.txt: no such file'),
    'no images': (lambda folder: [path.unlink() for path in (folder / 'test/rgb').iterdir()], r'test/rgb: found no images'),
    'no poses': (lambda folder: shutil.rmtree(folder / 'test/pose'), r'test/pose: no such folder'),
    'short pose': (changed('test/pose/000001.txt', lambda text: text[:-9]), r'000001\.txt: found \d+ numbers, expected the 16'),
    'last row': (
        changed('test/pose/000001.txt', lambda text: text.replace(' 1\n', ' 2')),
        r'last row is \[0.0, 0.0, 0.0, 2.0\]',
    ),
    'words': (changed('test/pose/000001.txt', lambda text: 'one ' + text), r"000001\.txt: expected numbers only .*'one'"),
    'nan': (changed('test/pose/000001.txt', lambda text: text.replace(' 1\n', ' nan')), r'000001\.txt: .* not finite'),
    'shear': (
        changed('test/pose/000001.txt', lambda text: ' '.join(['2', *text.split()[1:]])),
        r'camera of test/000001\.png in .*: its 3x3 part',
    ),
    'short lens': (
        changed('train/intrinsics.txt', lambda text: text.replace('1.\n', '')),
        r'found lines of \[4, 3, 2\] numbers',
    ),
    'focal': (changed('train/intrinsics.txt', lambda text: '-' + text), r'found focal length -22'),
    'size': (changed('train/intrinsics.txt', lambda text: text.replace('16 16', '0 16')), r'size 16 x 0, expected positive px'),
    'binary': (lambda folder: (folder / 'train/intrinsics.txt').write_bytes(b'\xff\x00'), r'expected numbers only'),
    'image': (lambda folder: (folder / 'test/rgb/000001.png').write_bytes(b'no'), r'000001\.png: cannot be read as an image'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes(mistake, folder):
    change, message = MISTAKES[mistake]
    change(folder)
    with pytest.raises(UserError, match=message):
        load(folder)


def test_only_such_folders_are_recognised(folder, tmp_path, blender_folder):
    assert formats.detect_format(str(folder)) == 'deepvoxels'
    assert not deepvoxels.holds(str(tmp_path))
    assert not deepvoxels.holds(str(blender_folder))
    assert not deepvoxels.holds(str(folder / 'test'))
    pose = np.array((folder / 'train/pose/000003.txt').read_text().split(), float).reshape(4, 4)
    np.testing.assert_allclose((pose[:3] * FLIP)[2, 2], load(folder).camera(3).camera_to_world[2, 2], atol=1e-6)
    assert Image.open(folder / 'train/rgb/000003.png').mode == 'RGB'


def test_a_pipe_is_not_waited_for(folder):
    path = folder / 'train/intrinsics.txt'
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match=r'intrinsics\.txt: expected numbers only \(cannot be read, as it is no file\)'):
        load(folder)
