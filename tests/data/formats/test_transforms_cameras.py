import numpy as np
import pytest

from nerf.data.formats.transforms_cameras import read_camera, read_size
from nerf.errors import UserError

SIZE = 12, 8
BY_X, BY_Y = 6 / np.tan(0.4), 4 / np.tan(0.3)


@pytest.mark.parametrize(
    ('said', 'expected'),
    [
        ({'camera_angle_x': 0.8}, (BY_X, BY_X)),
        ({'camera_angle_y': 0.6}, (BY_Y, BY_Y)),
        ({'camera_angle_x': 0.8, 'camera_angle_y': 0.6}, (BY_X, BY_Y)),
        ({'camera_angle_x': 0.8, 'fl_x': 9}, (9, 9)),
        ({'camera_angle_x': 0.8, 'fl_y': 9.5}, (BY_X, 9.5)),
        ({'fl_y': 9.5}, (9.5, 9.5)),
        ({'fl_x': 9, 'fl_y': 10}, (9, 10)),
    ],
)
def test_focal_lengths_are_said_or_follow_from_angles_of_view(said, expected):
    intrinsics, distortion, is_fisheye = read_camera(said, SIZE, 'here')
    np.testing.assert_allclose(intrinsics, [[expected[0], 0, 6], [0, expected[1], 4], [0, 0, 1]])
    assert (distortion.tolist(), is_fisheye) == ([0] * 8, False)


def test_centre_and_size():
    intrinsics, *_ = read_camera({'fl_x': 9, 'cx': 0, 'cy': 5.25}, SIZE, 'here')
    assert intrinsics[:2, 2].tolist() == [0, 5.25]
    assert read_size({'w': 270.0, 'h': 480}, 'here') == (270, 480)
    assert read_size({'w': 270.0}, 'here') is None


@pytest.mark.parametrize(
    ('model', 'is_fisheye', 'expected'),
    [
        ({}, False, [1, 2, 5, 6, 3, 0, 0, 0]),
        ({'camera_model': 'OPENCV'}, False, [1, 2, 5, 6, 3, 0, 0, 0]),
        ({'camera_model': 'FULL_OPENCV', 'k4': 4}, False, [1, 2, 5, 6, 3, 4, 0, 0]),
        ({'camera_model': 'OPENCV_FISHEYE', 'k4': 4}, True, [1, 2, 3, 4, 0, 0, 0, 0]),
        ({'is_fisheye': True, 'k4': 4}, True, [1, 2, 3, 4, 0, 0, 0, 0]),
    ],
)
def test_coefficients_are_in_the_lens_order(model, is_fisheye, expected):
    _, distortion, found = read_camera({'fl_x': 9, 'k1': 1, 'k2': 2, 'k3': 3, 'p1': 5, 'p2': 6, **model}, SIZE, 'here')
    assert (distortion.tolist(), found) == (expected, is_fisheye)


MISTAKES = {
    'none': ({'fl_x': None}, 'here: expected a focal length fl_x'),
    'text': ({'fl_x': '9'}, "here: found fl_x '9', expected a number"),
    'a list': ({'cx': [1, 2]}, r'found cx \[1, 2\], expected a number'),
    'true': ({'k1': True}, 'found k1 True, expected a number'),
    'nan': ({'k1': float('nan')}, 'found k1 nan, expected a number'),
    'infinite': ({'cy': 1e999}, 'found cy inf, expected a number'),
    'endless': ({'fl_y': 10**400}, 'found fl_y 10{39}, expected a number'),
    'focal 0': ({'fl_x': 0}, 'found fl_x 0, expected a focal length'),
    'focal below 0': ({'fl_y': -3.0}, 'found fl_y -3, expected a focal length'),
    'angle': ({'fl_x': None, 'camera_angle_x': 3.2}, r'found camera_angle_x 3\.2, expected an angle'),
    'model': ({'camera_model': 'VR180'}, "unknown camera_model 'VR180': expected one of .*OPENCV_FISHEYE.*; undistort"),
    'model of no name': ({'camera_model': ['PINHOLE']}, 'unknown camera_model'),
    'k4': ({'k4': 0.1}, r'found k4 to k6 \[0\.1, 0\.0, 0\.0\] in a lens that is no fisheye'),
    'k4 of a model': ({'k4': 0.1, 'camera_model': 'OPENCV'}, 'found k4 to k6'),
    'f-theta': ({'ftheta_p0': 0.1}, 'found ftheta_p0, a lens that is not known'),
    'fisheye by text': ({'is_fisheye': 'no'}, "found is_fisheye 'no', expected true or false"),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes_are_named_in_one_sentence(mistake):
    said, sentence = MISTAKES[mistake]
    with pytest.raises(UserError, match=sentence) as caught:
        read_camera({'fl_x': 9, **said}, SIZE, 'here')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('w', 'h'), [(0, 8), (12, -1), (12, 8.5), (1e9, 8), (float('nan'), 8), ('12', 8)])
def test_sizes_that_cannot_be(w, h):
    with pytest.raises(UserError, match='here: found w'):
        read_size({'w': w, 'h': h}, 'here')
