import pickle

import numpy as np
import pytest
from PIL import Image
from written import front_scene, llff_rows, on_white, small_scene, write_llff

from configs import mipnerf_llff, nerf_llff
from nerf.data import formats
from nerf.data.formats import llff
from nerf.data.options import DataOptions
from nerf.errors import UserError


@pytest.fixture(scope='module')
def scene():
    return small_scene()


@pytest.fixture(scope='module')
def front():
    return front_scene()


def test_what_was_written_is_read(scene, tmp_path):
    write_llff(tmp_path, scene)
    found = formats.load_scene(None, str(tmp_path), '', DataOptions(normalise=False))
    assert found.names[:2] == ('test_image000', 'train_image001')
    assert found.indices('test').tolist() == [0, 8, 16]
    for key in ('camera_to_world', 'camera_to_pixel'):
        np.testing.assert_allclose(getattr(found.cameras, key), getattr(scene.cameras, key), atol=1e-5)
    for i in range(len(scene.names)):
        np.testing.assert_array_equal(found.image(i)[..., :3], on_white(scene.image(i)))
    assert (found.pixels[:, 3] == 255).all()
    np.testing.assert_allclose(found.cameras.near, 0.9 * 2, rtol=1e-6)
    np.testing.assert_allclose(found.cameras.far, 1.1 * 6, rtol=1e-6)


def test_object_stands_as_the_built_in_scene(scene, tmp_path):
    write_llff(tmp_path, scene)
    moved = llff_rows(scene).reshape(-1, 17)
    moved[:, 3:15:5] = 7 * moved[:, 3:15:5] + [5, 6, 7]
    moved[:, 15:] *= 7
    np.save(tmp_path / 'poses_bounds.npy', moved)
    found = llff.load(str(tmp_path), DataOptions())
    np.testing.assert_allclose(found.cameras.camera_to_world, scene.cameras.camera_to_world, atol=5e-3)
    np.testing.assert_allclose([found.cameras.near[0], found.cameras.far[0]], [1.8, 6.6], rtol=1e-5)


def test_forward_facing_by_the_published_recipe(front, tmp_path):
    write_llff(tmp_path, front)
    rows = llff_rows(front)
    rows[:, 15] = np.linspace(3, 5, len(rows))
    rows[:, 16] = 50
    np.save(tmp_path / 'poses_bounds.npy', rows)
    found = llff.load(str(tmp_path), DataOptions(scene_type='forward_facing'))
    poses = front.cameras.camera_to_world.astype(np.float64)
    poses[:, :, 3] /= 3 * 0.75
    back = poses[:, :, 2].mean(0) / np.linalg.norm(poses[:, :, 2].mean(0))
    right = np.cross(poses[:, :, 1].mean(0), back)
    mean = np.stack([right / np.linalg.norm(right), np.cross(back, right) / np.linalg.norm(right), back], axis=1)
    np.testing.assert_allclose(found.cameras.camera_to_world[:, :, :3], mean.T @ poses[:, :, :3], atol=1e-6)
    np.testing.assert_allclose(
        found.cameras.camera_to_world[:, :, 3], (poses[:, :, 3] - poses[:, :, 3].mean(0)) @ mean, atol=1e-6
    )
    np.testing.assert_allclose(found.cameras.ndc, np.tile([2 * 12 / 16, 2 * 12 / 12], (9, 1)), rtol=1e-6)
    assert (found.cameras.near.tolist(), found.cameras.far.tolist()) == ([0] * 9, [1] * 9)


def test_smaller_images_scale_the_lens(front, tmp_path):
    write_llff(tmp_path, front, factor=8)
    options = [DataOptions(), DataOptions(factor=8), DataOptions(width=16)]
    scenes = [llff.load(str(tmp_path), each) for each in options]
    for found in scenes:
        np.testing.assert_allclose(found.camera(3).camera_to_pixel, [[12, 0, 8], [0, 12, 6], [0, 0, 1]], rtol=1e-6)
        np.testing.assert_array_equal(found.pixels, scenes[0].pixels)
    half = llff.load(str(tmp_path), DataOptions(factor=16))
    np.testing.assert_allclose(half.camera(3).camera_to_pixel, [[6, 0, 4], [0, 6, 3], [0, 0, 1]], rtol=1e-6)
    expected = front.image(1).reshape(6, 2, 8, 2, 4).astype(float).mean((1, 3))
    assert np.abs(half.image(1) - expected).max() <= 0.5
    with pytest.raises(UserError, match=r'data.factor 4 asked for, but found only images_8, .* set --config.data.factor=8'):
        llff.load(str(tmp_path), DataOptions(factor=4))
    with pytest.raises(UserError, match=r'data.width 17 asked for, but found only images_8, .* set --config.data.width=16'):
        llff.load(str(tmp_path), DataOptions(width=17))


def test_lens_follows_the_real_size_of_each_axis(front, tmp_path):
    write_llff(tmp_path, front, factor=8)
    for path in (tmp_path / 'images_8').iterdir():
        Image.fromarray(np.zeros((13, 16, 3), np.uint8)).save(path)
    lens = llff.load(str(tmp_path), DataOptions()).camera(0).camera_to_pixel
    np.testing.assert_allclose(lens, [[12, 0, 8], [0, 13.0, 6.5], [0, 0, 1]], rtol=1e-6)


def test_held_out_images_and_sources(front, tmp_path):
    write_llff(tmp_path, front)
    (tmp_path / 'images' / 'notes.txt').write_text('not an image')
    found = llff.load(str(tmp_path), DataOptions(test_every=3))
    assert found.indices('test').tolist() == [0, 3, 6]
    files = llff.sources(str(tmp_path), DataOptions())
    assert files[0] == str(tmp_path / 'poses_bounds.npy')
    assert files[1:] == [str(tmp_path / 'images' / f'image{i:03d}.png') for i in range(9)]


def test_the_rows_are_read_beside_a_model_if_asked_for(front, tmp_path):
    write_llff(tmp_path, front)
    assert formats.detect_format(str(tmp_path)) == 'llff'
    (tmp_path / 'sparse' / '0').mkdir(parents=True)
    for name in ('cameras', 'images', 'points3D'):
        (tmp_path / 'sparse' / '0' / f'{name}.bin').write_bytes(b'')
    assert formats.detect_format(str(tmp_path)) == 'colmap'
    assert formats.load_scene('llff', str(tmp_path), '', DataOptions()).names[0] == 'test_image000'
    assert {config.get_config().data.format for config in (nerf_llff, mipnerf_llff)} == {'llff'}


def with_value(rows, row, column, value):
    rows = rows.copy()
    rows[row, column] = value
    return rows


MISTAKES = {
    'fewer': (lambda rows: rows[1:], r'has 8 rows, but .*images has 9 images'),
    'shape': (lambda rows: rows[:, 1:], r'found float64 of shape \(9, 16\)'),
    'one row': (lambda rows: rows[0], r'found float64 of shape \(17,\)'),
    'text': (lambda rows: rows.astype(str), r'found <U\d+ of shape'),
    'nan': (lambda rows: with_value(rows, 3, 7, np.nan), 'row 3 has a value that is not finite'),
    'swapped': (lambda rows: rows[:, [*range(15), 16, 15]], r'row 0 says that depths go from 6 to 2'),
    'at once': (lambda rows: with_value(rows, 2, 15, 0.0), r'row 2 says that depths go from 0 to 6'),
    'no focal': (lambda rows: with_value(rows, 4, 14, 0.0), r'row 4 says height 12, width 16, focal 0'),
    'huge': (lambda rows: with_value(rows, 4, 9, 1e30), r'row 4 says height 12, width 1e\+30'),
    'axes': (lambda rows: with_value(rows, 5, 0, 5.0), r'image005\.png in .*poses_bounds\.npy: its 3x3 part'),
    'turned': (lambda rows: with_value(rows, 1, [4, 9], [16, 12]), r'image001\.png: found 16 x 12 px, expected .* 12 x 16'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes(mistake, front, tmp_path):
    change, message = MISTAKES[mistake]
    write_llff(tmp_path, front)
    np.save(tmp_path / 'poses_bounds.npy', change(llff_rows(front)))
    with pytest.raises(UserError, match=message):
        llff.load(str(tmp_path), DataOptions())


def saved(array, tmp_path, cut=None):
    np.save(tmp_path / 'array.npy', array, allow_pickle=True)
    return (tmp_path / 'array.npy').read_bytes()[:cut]


@pytest.mark.parametrize('damage', ['pickle', 'objects', 'cut', 'empty', 'more than there is'])
def test_damaged_files_are_refused_unread(damage, front, tmp_path):
    write_llff(tmp_path, front)
    rows = llff_rows(front)
    content = {
        'pickle': pickle.dumps(print),
        'objects': saved(np.array([print, None]), tmp_path),
        'cut': saved(rows, tmp_path, -8),
        'empty': b'',
        'more than there is': saved(rows, tmp_path).replace(b'(9, 17)', b'(99999999999, 17)').replace(b' ' * 10, b'', 1),
    }[damage]
    (tmp_path / 'poses_bounds.npy').write_bytes(content)
    with pytest.raises(UserError, match=r'poses_bounds\.npy: is not an array of numbers'):
        llff.load(str(tmp_path), DataOptions())
