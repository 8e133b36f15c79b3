import numpy as np
import pytest

from nerf.render import evaluation


def test_over_background():
    pixels = np.array([[[51, 0, 102, 102]]], np.uint8)
    np.testing.assert_array_equal(evaluation.over_background(pixels, 'white')[0, 0], [204, 153, 255])
    np.testing.assert_array_equal(evaluation.over_background(pixels, 'black')[0, 0], [51, 0, 102])
    np.testing.assert_array_equal(evaluation.over_background(pixels, 'random')[0, 0], [128, 76, 178])


def test_the_mean_is_that_of_the_images_psnr():
    images = [{'image': 'a', 'psnr': 20.0, 'ssim': 0.5}, {'image': 'b', 'psnr': 30.0, 'ssim': 0.7}]
    assert evaluation.mean_metrics(images) == pytest.approx({'psnr': 25.0, 'ssim': 0.6})


def test_means_of_each_width():
    images = [{'width': w, 'psnr': p, 'ssim': 0.5} for w, p in ((50, 20.0), (100, 30.0), (50, 22.0), (100, 31.0))]
    found = evaluation.means_by_width(images)
    assert list(found) == ['100', '50']
    assert found == {'100': pytest.approx({'psnr': 30.5, 'ssim': 0.5}), '50': pytest.approx({'psnr': 21.0, 'ssim': 0.5})}
    assert evaluation.means_by_width(images[::2]) == {}
