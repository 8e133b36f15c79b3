import dataclasses
import os
import shutil

import numpy as np
import pytest

from nerf.data import formats
from nerf.data.formats import tiny_nerf
from nerf.data.options import DataOptions
from nerf.data.scene import make_scene, stack_cameras
from nerf.errors import UserError


def built_in(width):
    """A stand-in for the built-in scene: two images for training, five for tests."""
    names = [f'train_{i}' for i in range(2)] + [f'test_{i}' for i in range(5)]
    images = [np.full((width, width, 4), i, np.uint8) for i in range(7)]
    lens = np.array([[width, 0, width / 2], [0, width, width / 2], [0, 0, 1]])
    cameras = stack_cameras(np.tile(np.eye(3, 4), (7, 1, 1)), np.tile(lens, (7, 1, 1)), np.full((7, 2), width), 1.0, 5.0)
    return make_scene(names, [name.split('_')[0] for name in names], images, cameras)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(formats.procedural, 'load', built_in)


def test_format_is_recognised_in_the_folder_and_in_the_one_above(blender_folder, tmp_path):
    scenes = [
        formats.load_scene(None, str(blender_folder), 'lego', DataOptions()),
        formats.load_scene(None, str(tmp_path), 'scene', DataOptions()),
        formats.load_scene('blender', str(blender_folder), '', DataOptions()),
    ]
    for scene in scenes:
        assert scene.names[0] == 'train_r_1'
    tiny = tmp_path / 'tiny'
    tiny.mkdir()
    file = tiny / tiny_nerf.FILE
    np.savez(file, images=np.zeros((9, 2, 2, 3)), poses=np.tile(np.eye(4), (9, 1, 1)), focal=np.array(2.0))
    for data_dir, name in ((tiny, 'lego'), (tmp_path, 'tiny'), (file, 'lego')):
        assert formats.resolve_source(None, str(data_dir), name)[0] == 'tiny_nerf'
        assert formats.load_scene(None, str(data_dir), name, DataOptions()).names[0] == 'test_000'


def test_a_scene_inside_wins_over_the_folder_itself(blender_folder):
    shutil.copytree(blender_folder, blender_folder / 'inner')
    assert formats.find_source(str(blender_folder), 'inner') == str(blender_folder / 'inner')
    assert formats.find_source(str(blender_folder), 'other') == str(blender_folder)


@pytest.mark.parametrize(
    ('scene', 'given'),
    [
        (['transforms.json'], ['transforms.json', 'images', 'images/1.jpg', 'images_4']),
        (['transforms_train.json'], ['transforms_train.json', 'transforms_test.json', 'train', 'train/1.jpg', 'notes.txt']),
        (['poses_bounds.npy'], ['poses_bounds.npy', 'images_8/1.jpg']),
        (['sparse/0/cameras.bin'], ['sparse/0', 'sparse', 'sparse/0/cameras.bin', 'sparse/0/images.bin', 'images']),
        (['colmap/sparse/0/cameras.txt', 'colmap/sparse/0/images.txt'], ['colmap/sparse/0/cameras.txt', 'colmap']),
    ],
)
def test_a_part_of_a_scene_stands_for_the_scene(tmp_path, scene, given):
    folder = tmp_path / 'scene'
    for name in [*scene, *given]:
        path = folder / name
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text('{}')
    for name in given:
        for chosen in ('', 'lego'):
            assert formats.find_source(str(folder / name), chosen) == str(folder), name


def test_other_folders_in_a_scene_do_not_stand_for_it(blender_folder):
    for name in ('renders', 'train/a/b/c/d', 'next/images'):
        (blender_folder / name).mkdir(parents=True)
        assert formats.find_source(str(blender_folder / name), 'lego') == str(blender_folder / name)
    (blender_folder / 'renders' / 'transforms_3.json').write_text('{}')
    with pytest.raises(UserError, match=r'transforms_3\.json: no scene recognised'):
        formats.resolve_source(None, str(blender_folder / 'renders' / 'transforms_3.json'), '')
    shutil.copytree(blender_folder / 'train', blender_folder.parent / 'train')
    assert formats.find_source(str(blender_folder.parent / 'train'), '') == str(blender_folder.parent / 'train')


def test_mistakes(blender_folder, tmp_path):
    with pytest.raises(
        UserError, match=rf"unknown data\.format 'blendr': expected one of {', '.join(sorted(formats.FORMATS))}"
    ):
        formats.load_scene('blendr', str(tmp_path), 'lego', DataOptions())
    with pytest.raises(UserError, match=r'looked for .*transforms_train\.json \(blender\), tiny_nerf_data\.npz'):
        formats.load_scene(None, str(tmp_path), '', DataOptions())
    with pytest.raises(UserError, match=f"unknown scene 'lego': expected one of {blender_folder.name}"):
        formats.load_scene(None, str(blender_folder.parent), 'lego', DataOptions())
    with pytest.raises(UserError, match='nowhere: no such folder'):
        formats.load_scene(None, str(tmp_path / 'nowhere'), 'lego', DataOptions())
    with pytest.raises(UserError, match="'blender' reads files, but no data_dir"):
        formats.load_scene('blender', None, 'lego', DataOptions())
    with pytest.raises(UserError, match=r'train/transforms_train\.json: no such file'):
        formats.load_scene('blender', str(blender_folder), 'train', DataOptions())


def test_built_in_scene_follows_the_options():
    assert formats.load_scene(None, None, 'any', DataOptions()).cameras.width.tolist() == [400] * 7
    assert formats.load_scene(None, None, 'any', DataOptions(factor=16)).cameras.width[0] == 25
    scene = formats.load_scene('procedural', None, 'any', DataOptions(width=3, near=0.5, far=9.0, test_every=3))
    assert scene.names == ('train_0', 'train_1', 'test_0', 'test_3')
    assert [scene.image(i)[0, 0, 0] for i in range(4)] == [0, 1, 2, 5]
    assert (scene.cameras.near.tolist(), scene.cameras.far.tolist()) == ([0.5] * 4, [9.0] * 4)


def test_paper_pixels_move_the_principal_point(blender_folder):
    centre, corner = (
        formats.load_scene(None, str(blender_folder), '', DataOptions(paper_pixels=paper)).cameras.camera_to_pixel
        for paper in (False, True)
    )
    np.testing.assert_array_equal(corner - centre, np.tile([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], (8, 1, 1)))


def test_fingerprint_changes_with_what_the_scene_is_made_from(blender_folder):
    folder, options = str(blender_folder), DataOptions()
    first = formats.fingerprint('blender', folder, options)
    assert len(first) == 16
    (blender_folder / 'notes.txt').write_text('not of the scene')
    assert formats.fingerprint('blender', folder, options) == first
    seen = {first}
    for field, value in {
        'factor': 2,
        'width': 3,
        'near': 1.0,
        'far': 7.0,
        'test_every': 2,
        'paper_pixels': True,
        'paper_alpha': True,
        'area_weighting': False,
    }.items():
        seen.add(formats.fingerprint('blender', folder, dataclasses.replace(options, **{field: value})))
    image = blender_folder / 'train' / 'r_0.png'
    os.utime(image, ns=(1, 1))
    seen.add(formats.fingerprint('blender', folder, options))
    image.write_bytes(image.read_bytes() + b'0')
    os.utime(image, ns=(1, 1))
    seen.add(formats.fingerprint('blender', folder, options))
    moved = blender_folder.rename(blender_folder.with_name('moved'))
    seen.add(formats.fingerprint('blender', str(moved), options))
    seen.add(formats.fingerprint('procedural', '', options))
    assert len(seen) == 13
    (moved / 'train' / 'r_0.png').unlink()
    with pytest.raises(UserError, match=r'r_0\.png'):
        formats.fingerprint('blender', str(moved), options)
