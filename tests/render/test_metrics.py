import numpy as np
import pytest
from skimage.metrics import structural_similarity

from nerf.render import evaluation, metrics


def test_psnr_of_a_known_error():
    truth = np.full((4, 4, 3), 100, np.uint8)
    assert metrics.psnr(truth + np.uint8(10), truth) == pytest.approx(20 * np.log10(25.5))
    assert metrics.psnr(truth, truth) == pytest.approx(120)


def test_ssim_agrees_with_scikit_image():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (32, 40, 3)).astype(np.uint8)
    prediction = np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8)
    whole = structural_similarity(
        truth, prediction, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]
    assert metrics.ssim(prediction, truth) == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-6)
    assert metrics.ssim(truth, truth) == pytest.approx(1)


@pytest.mark.parametrize('name', metrics.METRICS)
def test_every_metric_is_a_number_with_a_label(name):
    metric = metrics.METRICS[name]
    assert metric.label
    assert metric.decimals > 0
    assert metric.protocol
    assert metric.lacks(32, 40) == ''
    if not metric.is_installed():
        pytest.skip(f'{name} is not installed')
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (32, 40, 3)).astype(np.uint8)
    value = metric.compute(truth[::-1], truth)
    assert isinstance(value, float)
    assert np.isfinite(value)


def test_a_new_metric_is_in_all_that_is_reported(monkeypatch):
    error = metrics.Metric(lambda p, t: float(np.abs(p.astype(float) - t).mean()), 'mean error', 1, 'mean error of 8 bit')
    monkeypatch.setitem(metrics.METRICS, 'error', error)
    truth = np.full((16, 16, 3), 100, np.uint8)
    images = [evaluation.compare(truth + np.uint8(k), truth, ['psnr', 'error']) for k in (2, 4)]
    mean = evaluation.mean_metrics(images)
    assert mean['error'] == 3
    assert evaluation.in_words(mean).endswith(', mean error 3.0')
    assert evaluation.protocol(mean).endswith('; mean error of 8 bit')
    assert 'error' in evaluation.quick()
