from collections import ChainMap

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
        ({'x_fov': np.degrees(0.8)}, (BY_X, BY_X)),
        ({'y_fov': np.degrees(0.6), 'fl_x': 9}, (9, BY_Y)),
        ({'x_fov': np.degrees(0.8), 'fl_x': 9, 'camera_angle_x': 1.0}, (BY_X, BY_X)),
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
    assert read_size({'w': 49.92, 'h': 28.08}, 'here') == (50, 28)


@pytest.mark.parametrize(
    ('frame', 'expected'),
    [
        ({}, (9, 10)),
        ({'fl_x': 3}, (3, 3)),
        ({'camera_angle_x': 0.8}, (BY_X, BY_X)),
        ({'camera_angle_y': 0.6}, (BY_Y, BY_Y)),
        ({'x_fov': np.degrees(0.8), 'fl_y': 5}, (BY_X, 5)),
        ({'fl_x': None, 'cx': 5}, (9, 10)),
    ],
)
def test_focal_lengths_of_a_frame_win_in_any_form(frame, expected):
    of_file = {'fl_x': 9, 'fl_y': 10, 'camera_angle_x': 1.2}
    intrinsics, *_ = read_camera(ChainMap(frame, of_file), SIZE, 'here')
    np.testing.assert_allclose(intrinsics[[0, 1], [0, 1]], expected)
    intrinsics, *_ = read_camera(ChainMap(frame, {'x_fov': 70.0}), SIZE, 'here')
    if frame and 'cx' not in frame:
        np.testing.assert_allclose(intrinsics[[0, 1], [0, 1]], expected)


@pytest.mark.parametrize(
    ('said', 'full'),
    [({'w': 24, 'h': 16}, (24, 16)), ({'w': 11.6, 'h': 8.4}, (11.6, 8.4)), ({'w': 6}, (6, 4)), ({'h': 12}, (18, 12))],
)
def test_intrinsics_are_for_the_size_that_is_said(said, full):
    intrinsics, *_ = read_camera({'fl_x': 9, 'fl_y': 10, 'cx': 3, 'cy': 2.5, **said}, SIZE, 'here')
    x, y = 12 / full[0], 8 / full[1]
    np.testing.assert_allclose(intrinsics, [[9 * x, 0, 3 * x], [0, 10 * y, 2.5 * y], [0, 0, 1]])
    intrinsics, *_ = read_camera({'camera_angle_x': 0.8, 'camera_angle_y': 0.6, **said}, SIZE, 'here')
    np.testing.assert_allclose(intrinsics, [[BY_X, 0, 6], [0, BY_Y, 4], [0, 0, 1]])


@pytest.mark.parametrize(
    ('model', 'is_fisheye', 'expected'),
    [
        ({}, False, [1, 2, 5, 6, 3, 0, 0, 0]),
        ({'camera_model': 'OPENCV'}, False, [1, 2, 5, 6, 3, 0, 0, 0]),
        ({'camera_model': 'FULL_OPENCV', 'k4': 4}, False, [1, 2, 5, 6, 3, 4, 0, 0]),
        ({'camera_model': 'OPENCV_FISHEYE', 'k4': 4}, True, [1, 2, 3, 4, 0, 0, 0, 0]),
        ({'is_fisheye': True, 'k4': 4}, True, [1, 2, 3, 4, 0, 0, 0, 0]),
        ({'distortion_params': [7, 8, 9, 0, 10, 11]}, False, [7, 8, 10, 11, 9, 0, 0, 0]),
        ({'distortion_params': [7, 8, 9, 4, 0, 0], 'camera_model': 'OPENCV_FISHEYE'}, True, [7, 8, 9, 4, 0, 0, 0, 0]),
    ],
)
def test_coefficients_are_in_the_lens_order(model, is_fisheye, expected):
    _, distortion, found = read_camera({'fl_x': 9, 'k1': 1, 'k2': 2, 'k3': 3, 'p1': 5, 'p2': 6, **model}, SIZE, 'here')
    assert (distortion.tolist(), found) == (expected, is_fisheye)


def test_lists_of_coefficients_are_of_the_frame_or_the_file():
    listed = {'distortion_params': [7, 8, 9, 0, 10, 11]}
    for layers, expected in ((({}, listed), 7), ((listed, {'k1': 1}), 7), (({'k1': 1}, listed), 1)):
        _, distortion, _ = read_camera(ChainMap(*layers, {'fl_x': 9}), SIZE, 'here')
        assert distortion[0] == expected


MISTAKES = {
    'x_fov': ({'x_fov': 180}, 'found x_fov 180, expected an angle of view in degrees, between 0 and 180'),
    'degrees': ({'fl_x': None, 'camera_angle_x': 45}, r'radians, between 0 and pi; if it is in degrees, write 0\.785398'),
    'list of coefficients': ({'distortion_params': [1, 2, 3, 4]}, r'found distortion_params \[1, 2, 3, 4\], expected a list'),
    'text in a list': ({'distortion_params': [1, 2, 3, 0, 0, 'x']}, "found p2 'x', expected a number"),
    'only w, too large': ({'w': 1e12}, r'found w 1000000000000\.0 and h None, expected 1 to'),
    'only h, negative': ({'h': -3}, r'found w None and h -3\.0, expected 1 to'),
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


@pytest.mark.parametrize(('w', 'h'), [(0, 8), (12, -1), (12, 0.4), (1e9, 8), (float('nan'), 8), ('12', 8)])
def test_sizes_that_cannot_be(w, h):
    with pytest.raises(UserError, match='here: found w'):
        read_size({'w': w, 'h': h}, 'here')
