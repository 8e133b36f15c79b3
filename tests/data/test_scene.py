import dataclasses

import jax
import numpy as np
import pytest

from nerf.data.scene import camera_arrays, cameras_of_arrays, check_camera, check_lenses, checked, make_scene, stack_cameras
from nerf.errors import UserError
from nerf.ray.cameras import Camera
from nerf.ray.lenses import Lens

SIZE = (32, 24)
GENTLE, FOLDED = [-0.2, 0.05, 0.001, 0.002, 0, 0, 0, 0], [-0.9, 0, 0, 0, 0, 0, 0, 0]


def cameras(coefficients=None, is_fisheye=0, ndc=None, focal=20.0):
    """Two cameras."""
    lens = np.array([[focal, 0, 16], [0, focal, 12], [0, 0, 1]])
    found = stack_cameras(np.tile(np.eye(3, 4), (2, 1, 1)), np.tile(lens, (2, 1, 1)), np.tile(SIZE, (2, 1)), 1.0, 2.0)
    if coefficients is not None:
        found = found.replace(lens=Lens(np.array(coefficients, np.float32), np.full(2, is_fisheye, np.int32)))
    return found if ndc is None else found.replace(ndc=np.array(ndc, np.float32))


def scene_of(cameras):
    image = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    return make_scene(['train_a', 'train_b'], ['train', 'train'], [image, image], cameras)


def one(cameras):
    return jax.tree.map(lambda field: field[1], cameras)


ALL_KINDS = [
    cameras(),
    cameras([[0.0] * 8] * 2),
    cameras([GENTLE, FOLDED], ndc=[[1, 2], [3, 4]]),
    cameras([[0.1] * 8] * 2, is_fisheye=1),
    cameras(ndc=[[1, 2], [3, 4]]),
]


@pytest.mark.parametrize('found', ALL_KINDS)
def test_cameras_as_arrays_and_back(found):
    arrays = camera_arrays(found)
    assert ('lens_coefficients' in arrays, 'lens_is_fisheye' in arrays, 'ndc' in arrays) == (
        found.lens is not None,
        found.lens is not None,
        found.ndc is not None,
    )
    again = cameras_of_arrays({**arrays, 'something_else': np.zeros(3)})
    assert isinstance(again, Camera)
    assert jax.tree.structure(again) == jax.tree.structure(found)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y, strict=True), again, found)


def test_arrays_that_are_not_there_are_named():
    arrays = camera_arrays(cameras())
    del arrays['width']
    with pytest.raises(KeyError, match='width'):
        cameras_of_arrays(arrays)


def test_a_scene_with_lenses_that_can_be_undone():
    found = cameras([GENTLE, [0.05, -0.08, -0.001, 0.0002, 0, 0, 0, 0]])
    assert scene_of(found).cameras is found
    scene_of(cameras([[0.1, 0.01, 0, 0] * 2] * 2, is_fisheye=1))


def test_a_lens_that_cannot_be_undone_is_refused_by_name():
    # x (1 - 0.9 x^2) reaches 0.41 at most; the corner is at 1.
    with pytest.raises(UserError, match=r'camera of train_b: distortion k1 -0.9, k2 0, p1 0.* shows nothing at a corner'):
        scene_of(cameras([GENTLE, FOLDED]))
    # The same lens is good for a longer focal length: there the corner is at 0.4.
    scene_of(cameras([GENTLE, FOLDED], focal=50.0))


def test_a_fisheye_may_show_nothing_in_the_corners():
    # theta (1 - 0.1 theta^2) reaches 1.217 at most: the middle of the upper edge is at 12 / 11, of the left one at 16 / 11.
    folds = [[-0.1, 0, 0, 0, 0, 0, 0, 0]] * 2
    with pytest.raises(UserError, match=r'camera of train_a: distortion k1 -0.1, k2 0, k3 0, k4 0 found.* middle of an edge'):
        scene_of(cameras(folds, is_fisheye=1, focal=11.0))
    scene_of(cameras(folds, is_fisheye=1, focal=14.0))  # the corners are at 20 / 14


def test_one_bad_lens_of_many_is_found_wherever_it_is():
    found = cameras([GENTLE, GENTLE])
    many = jax.tree.map(lambda field: np.repeat(field[:1], 300, axis=0), found)
    check_lenses([str(i) for i in range(300)], many)
    many.lens.coefficients[217] = FOLDED
    with pytest.raises(UserError, match='camera of 217:'):
        check_lenses([str(i) for i in range(300)], many)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_values_that_cannot_be(value):
    with pytest.raises(UserError, match=r'camera of x: distortion .*k6 (nan|inf) found, expected finite'):
        check_camera('x', one(cameras([GENTLE, [0.0] * 7 + [value]])))
    with pytest.raises(UserError, match='camera of x: NDC scale'):
        check_camera('x', one(cameras(ndc=[[1, 1], [1, value]])))
    with pytest.raises(UserError, match='camera of x: NDC scale'):
        check_camera('x', one(cameras(ndc=[[1, 1], [0, 1]])))
    check_camera('x', one(cameras([GENTLE, GENTLE], ndc=[[1, 1], [1, 1]])))


TOO_LARGE = {
    'place': ({'camera_to_world': np.eye(3, 4) * 1e12}, 'its pose has a value that is not finite or above 1e.09'),
    'principal point': ({'camera_to_pixel': [[30, 0, 1e12], [0, 30, 12], [0, 0, 1]]}, r'principal point 1e\+12, 12 px found'),
    'focal length': ({'camera_to_pixel': [[1e-12, 0, 16], [0, 30, 12], [0, 0, 1]]}, 'focal lengths 1e-12, 30 px and'),
    'far': ({'far': np.float32(1e12)}, 'near 1.0 and far .* found'),
}


@pytest.mark.parametrize('what', TOO_LARGE)
def test_numbers_whose_squares_float32_has_no_room_for(what):
    fields, said = TOO_LARGE[what]
    with pytest.raises(UserError, match=f'camera of x: .*{said}'):
        check_camera('x', one(cameras()).replace(**{name: np.asarray(value) for name, value in fields.items()}))


def test_a_camera_is_taken_with_its_lens():
    found = scene_of(cameras([GENTLE, [0.0] * 8], ndc=[[1, 2], [3, 4]]))
    np.testing.assert_array_equal(found.camera(0).lens.coefficients, np.array(GENTLE, np.float32))
    np.testing.assert_array_equal(found.camera(1).ndc, [3, 4])
    assert dataclasses.replace(found, cameras=cameras()).camera(0).lens is None


def test_masks_are_checked():
    scene = scene_of(cameras())
    used = np.ones(len(scene.pixels), bool)
    assert checked(dataclasses.replace(scene, used=used)).mask(1).shape == SIZE[::-1]
    assert scene.mask(0) is None
    with pytest.raises(UserError, match=r'found masks bool \(5,\), expected bool \(1536,\)'):
        checked(dataclasses.replace(scene, used=used[:5]))
    used[len(used) // 2 :] = False
    with pytest.raises(UserError, match='image train_b: its mask leaves nothing of it'):
        checked(dataclasses.replace(scene, used=used))
    with pytest.raises(UserError, match=r'found pixels uint8 \(5, 4\), expected uint8 \(1536, 4\)'):
        checked(dataclasses.replace(scene, pixels=scene.pixels[:5]))
