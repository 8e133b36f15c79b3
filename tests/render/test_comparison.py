import numpy as np

from nerf.render.comparison import GAP, NAMES, side_by_side


def test_four_pictures_lie_side_by_side_in_their_order():
    truth, rgb, depth = (np.full((3, 5, 3), value, np.uint8) for value in (10, 40, 200))
    joined = side_by_side(truth, rgb, depth)
    assert joined.shape == (3, 4 * 5 + 3 * GAP, 3)
    photo, render, error, last = (joined[:, i * (5 + GAP) : i * (5 + GAP) + 5] for i in range(4))
    assert (photo == 10).all()
    assert (render == 40).all()
    assert (last == 200).all()
    assert len(np.unique(error.reshape(-1, 3), axis=0)) == 1
    assert error[0, 0, 0] > error[0, 0, 2]  # 30 / 255, nearly half of the range of colours from black over red to yellow
    assert (joined[:, 5 : 5 + GAP] == 255).all()
    assert NAMES == ('photo', 'render', 'error', 'depth')


def test_no_error_is_black():
    grey = np.full((3, 5, 3), 90, np.uint8)
    assert side_by_side(grey, grey, grey)[:, 2 * (5 + GAP) : 2 * (5 + GAP) + 5].max() < 5
