import numpy as np
import pytest

from nerf.render import evaluation
from nerf.render.metrics import METRICS

ZERO = dict.fromkeys(METRICS, 0.0)


def test_over_background():
    pixels = np.array([[[51, 0, 102, 102]]], np.uint8)
    np.testing.assert_array_equal(evaluation.over_background(pixels, 'white')[0, 0], [204, 153, 255])
    np.testing.assert_array_equal(evaluation.over_background(pixels, 'black')[0, 0], [51, 0, 102])
    np.testing.assert_array_equal(evaluation.over_background(pixels, 'random')[0, 0], [128, 76, 178])


def test_the_mean_is_that_of_the_images_psnr():
    images = [{**ZERO, 'image': 'a', 'psnr': 20.0, 'ssim': 0.5}, {**ZERO, 'image': 'b', 'psnr': 30.0, 'ssim': 0.7}]
    assert evaluation.mean_metrics(images) == pytest.approx({**ZERO, 'psnr': 25.0, 'ssim': 0.6})


def test_means_of_each_width():
    images = [{**ZERO, 'width': w, 'psnr': p, 'ssim': 0.5} for w, p in ((50, 20.0), (100, 30.0), (50, 22.0), (100, 31.0))]
    found = evaluation.means_by_width(images)
    assert list(found) == ['100', '50']
    assert found['100'] == pytest.approx({**ZERO, 'psnr': 30.5, 'ssim': 0.5})
    assert found['50'] == pytest.approx({**ZERO, 'psnr': 21.0, 'ssim': 0.5})
    assert evaluation.means_by_width(images[::2]) == {}
