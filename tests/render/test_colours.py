import numpy as np

from nerf.render import colours


def brightness(picture):
    return picture.astype(float).mean(-1)


def test_near_is_bright_and_nothing_is_black():
    depth = np.linspace(2, 6, 50)[None].repeat(3, 0)
    acc = np.ones_like(depth)
    acc[2] = 0
    picture = colours.depth_picture(depth, acc)
    assert np.all(np.diff(brightness(picture)[0]) <= 0)
    assert brightness(picture)[0, 0] > 200
    assert picture[2].max() == 0


def test_the_range_ignores_what_is_empty_and_outliers():
    depth = np.full((10, 100), 3.0)
    depth[:5] = 4.0
    depth[9, 0] = 1000.0
    acc = np.ones_like(depth)
    acc[8] = 0
    depth[8] = 77.0
    assert colours.depth_range(depth, acc) == (3.0, 4.0)
    low, high = colours.depth_range(np.full((2, 2), 5.0), np.zeros((2, 2)))
    assert low == 5.0
    assert high > low


def test_error_is_dark_where_equal_and_bright_where_not():
    truth = np.zeros((1, 2, 3), np.uint8)
    prediction = truth.copy()
    prediction[0, 1] = 64
    shown = brightness(colours.error_picture(prediction, truth))[0]
    assert shown[0] < 5
    assert shown[1] > 180
