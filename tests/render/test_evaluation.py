import numpy as np
import pytest
from skimage.metrics import structural_similarity

from nerf.render import evaluation


def test_psnr_of_a_known_error():
    truth = np.full((4, 4, 3), 100, np.uint8)
    assert evaluation.psnr(truth + np.uint8(10), truth) == pytest.approx(20 * np.log10(25.5))
    assert evaluation.psnr(truth, truth) == pytest.approx(120)


def test_ssim_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (32, 40, 3)).astype(np.uint8)
    prediction = np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    whole = structural_similarity(
        truth, prediction, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]
    assert evaluation.ssim(prediction, truth) == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-6)
    assert evaluation.ssim(truth, truth) == pytest.approx(1)


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


def test_small_pictures_have_no_ssim():
    tiny = np.zeros((8, 8, 3), np.uint8)
    assert np.isnan(evaluation.compare(tiny, tiny)['ssim'])
