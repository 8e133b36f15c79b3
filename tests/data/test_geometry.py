"""Every format end to end: the built-in scene is written in it, read back, and looked at through the cameras that were read.

The images are made by rays in plain numpy (`seen`), apart from the code that casts those of the loaded cameras. Nothing is
left to estimate: but for pixels in which rounding moves a ray across an edge, pictures must be the same.
"""

import dataclasses

import numpy as np
import pytest
from built_in_written import (
    COEFFICIENTS,
    FISHEYE_COEFFICIENTS,
    KEPT,
    OPAQUE,
    PARAMETERS,
    SIZE,
    WRITERS,
    cameras_of,
    elsewhere,
    expected_images,
    truth_of,
    write_colmap_scene,
    write_multiscale,
    write_transforms_scene,
)
from scipy.spatial.transform import Rotation
from seen import SAMPLES, by_camera, cast_rays, colours_apart, over, picture, silhouettes_apart

from nerf.data import formats
from nerf.data.options import DataOptions

EDGE = 0.005  # the share of pixels that rounding may change; a camera that is off by a tenth of a pixel changes ten times more


@pytest.fixture(scope='module')
def pinhole():
    """What every format can say: square pixels, the principal point in the middle."""
    return truth_of(cameras_of((40.0, 40.0)))


@pytest.fixture(scope='module')
def photo():
    """What reconstructions say: focal lengths and principal point of their own."""
    return truth_of(cameras_of((40.0, 33.0), SIZE / 2 + [1.25, -2.0]))


@pytest.fixture(scope='module')
def square():
    return truth_of(cameras_of((40.0, 40.0), (14, 14), (28, 28)))


def load(folder, format, **options):
    return formats.load_scene(format.partition(',')[0], str(folder), '', DataOptions(**{'normalise': False, **options}))


def assert_seen(scene, format, move=lambda rays: rays):
    """The loaded images are what the loaded cameras see; `move` takes their rays to the built-in scene's world."""
    apart = differences(scene, OPAQUE.get(format), move)
    assert apart.max() < EDGE, apart


def assert_same_cameras(scene, truth):
    for field in ('camera_to_world', 'camera_to_pixel', 'width', 'height'):
        np.testing.assert_allclose(getattr(scene.cameras, field), getattr(truth.cameras, field), atol=1e-5, rtol=0)


def differences(scene, background=None, move=lambda rays: rays):
    """For each image, the shares of pixels in which it and what its camera sees differ: in colour, and in silhouette.

    An image that is n times smaller than what was written has n times as many rays along a pixel: the same rays.
    """
    apart = []
    for i in range(len(scene.names)):
        camera, image = scene.camera(i), scene.image(i)
        seen = picture(move(cast_rays(camera, SAMPLES * round(SIZE[1] / camera.height))), camera)
        apart.append((colours_apart(image, over(seen, background)), silhouettes_apart(image, seen, background)))
    return np.array(apart)


@pytest.mark.parametrize('format', WRITERS)
def test_round_trip(format, request, tmp_path):
    name, write = WRITERS[format]
    truth = request.getfixturevalue(name)
    write(tmp_path, truth)
    scene = load(tmp_path, format)
    assert_same_cameras(scene, truth)
    for i, image in enumerate(expected_images(truth, format)):
        np.testing.assert_array_equal(scene.image(i), image, strict=True)
    assert_seen(scene, format)


def test_each_size_of_a_multiscale_scene_is_what_its_camera_sees(pinhole, tmp_path):
    write_multiscale(tmp_path, pinhole)
    scene = load(tmp_path / 'multiscale', 'multiscale_blender')
    assert scene.cameras.width.tolist() == [32, 16, 8, 4] * len(KEPT)
    for i, image in enumerate(expected_images(pinhole, 'multiscale_blender')):
        np.testing.assert_array_equal(scene.image(4 * i), image, strict=True)
    assert_seen(scene, 'multiscale_blender')


@pytest.mark.parametrize('format', WRITERS)
def test_smaller_images_are_what_their_cameras_see(format, request, tmp_path):
    name, write = WRITERS[format]
    write(tmp_path, request.getfixturevalue(name))
    scene = load(tmp_path, format, factor=2)
    assert scene.image(0).shape[0] in (SIZE[1] // 2, 14)
    assert_seen(scene, format)


BENT = {'k1': -0.16, 'k2': 0.05, 'p1': 0.012, 'p2': -0.009}
LENSES = {
    'SIMPLE_RADIAL': {'k1': -0.16},
    'RADIAL': {'k1': -0.16, 'k2': 0.05},
    'OPENCV': BENT,
    'k3': {**BENT, 'k3': 0.2},  # in transforms.json alone
    'FULL_OPENCV': {**BENT, 'k3': 0.2, 'k4': 0.1, 'k5': -0.06, 'k6': 0.03},
    'SIMPLE_FISHEYE': {},
    'SIMPLE_RADIAL_FISHEYE': {'k1': 0.15},
    'OPENCV_FISHEYE': {'k1': 0.15, 'k2': -0.12, 'k3': 0.08, 'k4': -0.05},
}


def bent_truth(model):
    """A lens with a wide view, from nearby, so that much of the scene is far from the middle of the image."""
    is_fisheye = model.endswith('FISHEYE')
    lens = [LENSES[model].get(name, 0.0) for name in (FISHEYE_COEFFICIENTS if is_fisheye else COEFFICIENTS)]
    focal = (26.0, 26.0) if PARAMETERS.get(model, 'fx').startswith('f ') else (26.0, 24.0)
    return truth_of(cameras_of(focal, SIZE / 2 + [1.25, -2.0], SIZE, 2.6, np.pad(lens, (0, 8 - len(lens))), is_fisheye))


@pytest.mark.parametrize('model', LENSES)
def test_bent_images_are_what_their_cameras_see(model, tmp_path):
    truth = bent_truth(model)
    said = {} if model == 'k3' else {'camera_model': model}
    write_transforms_scene(tmp_path / 'transforms', truth, **said, **LENSES[model])
    written = ['transforms']
    if model in PARAMETERS:
        write_colmap_scene(tmp_path / 'colmap', truth, model=model)
        written.append('colmap')
    for format in written:
        scene = load(tmp_path / format, format)
        assert_same_cameras(scene, truth)
        np.testing.assert_allclose(scene.cameras.lens.coefficients, truth.cameras.lens.coefficients, atol=1e-7)
        assert scene.cameras.lens.is_fisheye.tolist() == [model.endswith('FISHEYE')] * len(KEPT)
        assert_seen(scene, format)


MISTAKES = {
    'a tenth of a pixel to the right': lambda k, lens: (k + shift(0.1, 0), lens),
    'half a pixel down': lambda k, lens: (k + shift(0, 0.5), lens),
    'focal lengths swapped': lambda k, lens: (k * [[24 / 26, 1, 1], [1, 26 / 24, 1], [1, 1, 1]], lens),
    'focal lengths one percent longer': lambda k, lens: (k * [[1.01, 1, 1], [1, 1.01, 1], [1, 1, 1]], lens),
    'coefficients in the order k1 k2 k3 p1 p2': lambda k, lens: (k, lens[:, [0, 1, 4, 2, 3, 5, 6, 7]]),
    'p1 and p2 swapped': lambda k, lens: (k, lens[:, [0, 1, 3, 2, 4, 5, 6, 7]]),
    'k3 left out': lambda k, lens: (k, lens * [1, 1, 1, 1, 0, 1, 1, 1]),
    'k1 with the other sign': lambda k, lens: (k, lens * [-1, 1, 1, 1, 1, 1, 1, 1]),
}


def shift(x, y):
    """Of the principal point, px."""
    return np.array([[0, 0, x], [0, 0, y], [0, 0, 0]])


@pytest.fixture(scope='module')
def bent(tmp_path_factory):
    folder = tmp_path_factory.mktemp('bent')
    write_transforms_scene(folder, bent_truth('FULL_OPENCV'), camera_model='FULL_OPENCV', **LENSES['FULL_OPENCV'])
    return load(folder, 'transforms')


@pytest.mark.parametrize('mistake', MISTAKES)
def test_small_mistakes_are_seen(mistake, bent):
    k, lens = MISTAKES[mistake](bent.cameras.camera_to_pixel, bent.cameras.lens.coefficients)
    lens = bent.cameras.lens.replace(coefficients=lens.astype(np.float32))
    cameras = bent.cameras.replace(camera_to_pixel=k.astype(np.float32), lens=lens)
    assert differences(dataclasses.replace(bent, cameras=cameras))[:, 0].min() > 3 * EDGE


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_a_flipped_axis_is_seen(axis, bent):
    flip = np.ones(4, np.float32)
    flip[axis] = -1
    cameras = bent.cameras.replace(camera_to_world=bent.cameras.camera_to_world * flip)
    apart = differences(dataclasses.replace(bent, cameras=cameras))
    assert apart[:, 0].min() > 0.25
    assert apart[:, 1].min() > 5 * EDGE  # the plate's silhouette is nearly symmetric


@pytest.mark.parametrize('scene_type', ['object', 'unbounded'])
@pytest.mark.parametrize('format', ['transforms', 'colmap', 'llff'])
def test_a_normalised_scene_is_similar_to_the_built_in_one(format, scene_type, request, tmp_path):
    """The world of the file is turned, scaled and moved; what the scene type makes of that sees the built-in scene again."""
    truth = request.getfixturevalue('pinhole' if format == 'llff' else 'photo')
    WRITERS[format][1](tmp_path, elsewhere(truth))
    scene = load(tmp_path, format, normalise=True, scene_type=scene_type)
    rotation, scale, origin = similarity(truth.cameras.camera_to_world, scene.cameras.camera_to_world)
    assert_seen(scene, format, lambda rays: (rays[0] @ rotation / scale + origin, rays[1] @ rotation))
    if format == 'colmap':
        np.testing.assert_allclose(scene.points @ rotation / scale + origin, truth.points, atol=1e-4)
    if scene_type == 'object':
        distance = np.linalg.norm(scene.cameras.camera_to_world[:, :, 3], axis=1)
        np.testing.assert_allclose(distance.mean(), 4, rtol=1e-5)
        np.testing.assert_allclose(rotation[:, 2], [0, 0, 1], atol=0.005)  # up is up again
        np.testing.assert_allclose(scale, 1, rtol=1e-4)
    elif scene_type == 'unbounded':
        np.testing.assert_allclose(np.abs(scene.cameras.camera_to_world[:, :, 3]).max(), 1, rtol=1e-5)


def similarity(before, after):
    """Rotation [3, 3], scale and origin [3] with x_after = scale R (x_before - origin), by two cameras, for all of them."""
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    rotation = after[0, :, :3] @ before[0, :, :3].T
    scale = np.linalg.norm(after[1, :, 3] - after[0, :, 3]) / np.linalg.norm(before[1, :, 3] - before[0, :, 3])
    origin = before[0, :, 3] - rotation.T @ after[0, :, 3] / scale
    np.testing.assert_allclose(rotation @ before[:, :, :3], after[:, :, :3], atol=1e-5)
    np.testing.assert_allclose(scale * (before[:, :, 3] - origin) @ rotation.T, after[:, :, 3], atol=1e-5 * scale)
    return rotation, scale, origin


@pytest.fixture(scope='module')
def front():
    """Cameras side by side that all look about the same way."""
    cameras, rng = cameras_of((40.0, 40.0)), np.random.default_rng(5)
    pose = np.tile(cameras.camera_to_world[3], (len(KEPT), 1, 1)).astype(np.float64)
    pose[:, :, :3] = pose[:, :, :3] @ Rotation.from_rotvec(rng.normal(0, 0.03, (len(KEPT), 3))).as_matrix()
    pose[:, :, 3] += rng.normal(0, 0.15, (len(KEPT), 3))
    return truth_of(cameras.replace(camera_to_world=pose.astype(np.float32), near=cameras.near + 0.5))


@pytest.mark.parametrize('format', ['llff', 'colmap', 'transforms'])
def test_rays_in_ndc_meet_what_is_there(format, front, tmp_path):
    """Two points of each ray, taken back from normalised device coordinates by hand, see the built-in scene."""
    WRITERS[format][1](tmp_path, elsewhere(front))
    scene = load(tmp_path, format, normalise=True, scene_type='forward_facing')
    rotation, scale, origin = similarity(front.cameras.camera_to_world, scene.cameras.camera_to_world)
    background, ndc = OPAQUE.get(format), 2 * np.array([40.0, 40.0]) / SIZE
    np.testing.assert_allclose(scene.cameras.ndc, np.tile(ndc, (len(KEPT), 1)), rtol=1e-6)

    def back(points):
        z = 2 / (points[:, 2] - 1)  # of x = -a X / Z and z = 1 + 2 / Z
        return np.stack([-points[:, 0] * z / ndc[0], -points[:, 1] * z / ndc[1], z], axis=1) @ rotation / scale + origin

    for i, (start, along) in enumerate(by_camera(scene.cameras, lambda camera: cast_rays(camera, is_ndc=True))):
        near, far = back(start.astype(np.float64)), back(start + 0.5 * along.astype(np.float64))
        image, seen = scene.image(i), picture((near, far - near), scene.camera(i))
        assert colours_apart(image, over(seen, background)) < 2 * EDGE
        assert silhouettes_apart(image, seen, background) < EDGE
    np.testing.assert_array_equal([scene.cameras.near, scene.cameras.far], np.stack([np.zeros(5), np.ones(5)]))
