import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from written import turned
from written_photos import built_in

from nerf.data import formats
from nerf.data.formats.colmap_model import read_model
from nerf.data.options import DataOptions
from nerf.data.poses import AS_IT_IS, Frame
from nerf.data.scene import make_scene
from nerf.export.cameras import colmap_text, image_names, transforms_json
from nerf.ray.lenses import Lens

LENSES = {  # coefficients, whether they are a fisheye's, and the models that say them
    'none': (None, False, 'OPENCV', 'PINHOLE'),
    'zero': ([0] * 8, False, 'OPENCV', 'PINHOLE'),
    'four': ([-0.1, 0.02, 0.003, -0.004, 0, 0, 0, 0], False, 'OPENCV', 'OPENCV'),
    'third': ([-0.1, 0, 0, 0, 0.005, 0, 0, 0], False, 'OPENCV', 'FULL_OPENCV'),
    'all': ([-0.1, 0.02, 0.003, -0.004, 0.005, 0.006, -0.007, 0.001], False, 'FULL_OPENCV', 'FULL_OPENCV'),
    'fisheye': ([0.05, -0.02, 0.01, 0, 0, 0, 0, 0], True, 'OPENCV_FISHEYE', 'OPENCV_FISHEYE'),
    'straight fisheye': ([0] * 8, True, 'OPENCV_FISHEYE', 'OPENCV_FISHEYE'),
}
FRAME = Frame(turned(0.4, -1.0, 2.0), np.array([0.1, 0.2, -0.3]), 3.0)


def scene_of(lens, is_fisheye, stems=None):
    """Nine photos, each of a size of its own; the last two are held out."""
    cameras, images = built_in()
    if lens is not None:
        cameras = cameras.replace(lens=Lens(np.tile(np.float32(lens), (9, 1)), np.full(9, is_fisheye, np.int32)))
    split = ['train'] * 7 + ['test'] * 2
    stems = stems or [f'p_{i}' for i in range(9)]
    scene = make_scene([f'{of}_{stem}' for of, stem in zip(split, stems, strict=True)], split, images, cameras)
    return dataclasses.replace(scene, points=np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32))


def load(folder, format, scene):
    for i, name in enumerate(image_names(scene)):
        (folder / 'images').mkdir(exist_ok=True)
        Image.fromarray(scene.image(i)).save(folder / 'images' / name)
    return formats.load_scene(format, str(folder), '', DataOptions(normalise=False))


def assert_same_cameras(found, scene):
    poses = FRAME.poses(scene.cameras.camera_to_world.astype(np.float64))
    np.testing.assert_allclose(found.cameras.camera_to_world, poses, atol=1e-6)
    for field in ('camera_to_pixel', 'width', 'height'):
        np.testing.assert_array_equal(getattr(found.cameras, field), getattr(scene.cameras, field))
    if found.cameras.lens is None:
        assert scene.cameras.lens is None or not (scene.cameras.lens.coefficients.any() or scene.cameras.lens.is_fisheye.any())
    else:
        np.testing.assert_array_equal(found.cameras.lens.coefficients, scene.cameras.lens.coefficients)
        np.testing.assert_array_equal(found.cameras.lens.is_fisheye, scene.cameras.lens.is_fisheye)


@pytest.mark.parametrize('lens', LENSES)
def test_a_transforms_json_is_read_again(lens, tmp_path):
    coefficients, is_fisheye, model, _ = LENSES[lens]
    scene = scene_of(coefficients, is_fisheye)
    text = transforms_json(scene, FRAME)
    (tmp_path / 'transforms.json').write_text(text)
    found = load(tmp_path, 'transforms', scene)
    assert_same_cameras(found, scene)
    assert (found.split, found.names) == (scene.split, scene.names)
    content = json.loads(text)
    assert content['camera_model'] == model  # once, as all have the same
    assert 'w' not in content
    assert content['frames'][8]['w'] == 8


@pytest.mark.parametrize('lens', LENSES)
def test_a_model_of_colmap_is_read_again(lens, tmp_path):
    coefficients, is_fisheye, _, model = LENSES[lens]
    scene = scene_of(coefficients, is_fisheye)
    (tmp_path / 'sparse/0').mkdir(parents=True)
    for name, text in colmap_text(scene, FRAME).items():
        (tmp_path / 'sparse/0' / name).write_text(text)
    found = load(tmp_path, 'colmap', scene)
    assert_same_cameras(found, scene)
    np.testing.assert_allclose(found.points, FRAME.points(scene.points.astype(np.float64)), atol=1e-6)
    read = read_model(str(tmp_path / 'sparse/0'))
    assert {camera.model for camera in read.cameras.values()} == {model}
    assert len(read.cameras) == 5  # of 9 images: i // 2 columns are cut off


def test_far_away_all_digits_are_written(tmp_path):
    scene = scene_of(None, False)
    there = Frame(np.eye(3), np.array([-441550.6683594056, -5121941.020510139, -2344.12]), 1.0)
    poses = there.poses(scene.cameras.camera_to_world.astype(np.float64))
    frames = json.loads(transforms_json(scene, there))['frames']
    np.testing.assert_array_equal([frame['transform_matrix'][:3] for frame in frames], poses)
    (tmp_path / 'model').mkdir()
    for name, text in colmap_text(scene, there).items():
        (tmp_path / 'model' / name).write_text(text)
    images = read_model(str(tmp_path / 'model')).images
    centres = [-image.rotation.T @ image.translation for image in images]
    np.testing.assert_allclose(centres, poses[:, :, 3], atol=1e-8, rtol=0)


def test_names_that_repeat_lie_in_folders_of_their_splits():
    names = image_names(scene_of(None, False, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'a', 'h']))
    assert names[0] == 'train/a.png'
    assert names[7:] == ['test/a.png', 'test/h.png']
    content = json.loads(transforms_json(scene_of(None, False, ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'a', 'h']), AS_IT_IS))
    assert content['test_filenames'] == ['test/a.png', 'test/h.png']
    assert json.loads(transforms_json(scene_of(None, False), AS_IT_IS))['test_filenames'] == [
        'images/p_7.png',
        'images/p_8.png',
    ]
