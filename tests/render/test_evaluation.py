import dataclasses

import numpy as np
import pytest

from nerf.errors import UserError
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


def grey(height, width, value=100):
    return np.full((height, width, 3), value, np.uint8)


def test_what_a_picture_is_too_small_for_is_left_out_and_said():
    names = ['psnr', 'ssim']
    images = [evaluation.compare(grey(size, 40, 101), grey(size, 40), names) for size in (11, 10, 6, 30)]
    assert [list(image) for image in images] == [names, ['psnr'], ['psnr'], names]
    mean = evaluation.mean_metrics(images)
    assert mean['ssim'] == pytest.approx(images[0]['ssim'])
    assert list(evaluation.mean_metrics(images[1:3])) == ['psnr']
    assert evaluation.in_words(evaluation.mean_metrics(images[1:3])) == 'PSNR 48.13 dB'
    sizes = [(11, 40), (10, 40), (40, 6), (30, 40)]
    assert evaluation.left_out(sizes, names) == {'ssim': '2 of 4 images: smaller than 11 px'}
    assert evaluation.left_out(sizes[:1], names) == {}


def test_a_metric_that_is_named_is_computed_and_an_unknown_one_refused():
    assert list(evaluation.compare(grey(12, 12), grey(12, 12), ['ssim'])) == ['ssim']
    with pytest.raises(UserError, match="unknown metric 'snr': expected one of lpips_alex, lpips_vgg, psnr, ssim"):
        evaluation.compare(grey(12, 12), grey(12, 12), ['snr'])


def test_the_worst_views_come_first():
    images = [{'image': name, 'psnr': psnr} for name, psnr in zip('abcdefg', (30, 25, 40, 20, 35, 22, 50), strict=True)]
    assert [image['image'] for image in evaluation.worst(images)] == ['d', 'f', 'b', 'a', 'e']
    assert evaluation.worst(images[:2]) == [images[1], images[0]]


def test_slow_metrics_are_not_measured_during_training(monkeypatch):
    for name in ('lpips_alex', 'lpips_vgg'):
        monkeypatch.setitem(METRICS, name, dataclasses.replace(METRICS[name], is_installed=lambda: True))
    assert evaluation.installed() == list(METRICS)
    assert evaluation.quick() == [name for name in METRICS if name != 'lpips_vgg']
