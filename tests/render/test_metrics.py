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


def pictures():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (32, 40, 3)).astype(np.uint8)
    return np.clip(truth + rng.normal(0, 20, truth.shape), 0, 255).astype(np.uint8), truth


@pytest.mark.parametrize('name', [name for name, metric in metrics.METRICS.items() if metric.takes_mask])
def test_what_is_masked_counts_nowhere(name):
    compute, (prediction, truth) = metrics.METRICS[name].compute, pictures()
    used = np.ones((32, 40), bool)
    assert compute(prediction, truth, used) == pytest.approx(compute(prediction, truth, None), rel=1e-12)
    used[10:20, 15:30] = False
    before = compute(prediction, truth, used)
    assert before != pytest.approx(compute(prediction, truth, None), rel=1e-6)
    prediction[~used], truth[~used] = 0, 255
    assert compute(prediction, truth, used) == before
    assert compute(prediction, truth, None) < before


def test_masked_psnr_is_that_of_what_is_left():
    prediction, truth = pictures()
    used = np.zeros((32, 40), bool)
    used[:7, 3:] = True
    assert metrics.psnr(prediction, truth, used) == pytest.approx(metrics.psnr(prediction[:7, 3:], truth[:7, 3:]))


def test_masked_ssim_weights_what_is_left_of_each_window():
    """Against one window after the other, from its definition."""
    prediction, truth = (picture[:14, :15] for picture in pictures())
    used = np.random.default_rng(1).random((14, 15)) < 0.6
    gauss = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    found = []
    for row, column in zip(*np.nonzero(used[5:-5, 5:-5]), strict=True):
        part = np.s_[row : row + 11, column : column + 11]
        weights = (np.outer(gauss, gauss) * used[part])[used[part]]
        for channel in range(3):
            p, t = (picture[part][used[part]][:, channel] / 255 for picture in (prediction, truth))
            (var_p, cov), (_, var_t) = np.cov(p, t, ddof=0, aweights=weights)
            p, t = np.average(p, weights=weights), np.average(t, weights=weights)
            found.append((2 * p * t + 1e-4) * (2 * cov + 9e-4) / ((p**2 + t**2 + 1e-4) * (var_p + var_t + 9e-4)))
    assert metrics.ssim(prediction, truth, used) == pytest.approx(np.mean(found))
    assert np.isnan(metrics.ssim(prediction, truth, np.zeros_like(used)))


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
    used = np.eye(16, dtype=bool)
    masked = evaluation.mean_metrics([evaluation.compare(truth + np.uint8(k), truth, ['psnr', 'error'], used) for k in (2, 4)])
    assert masked == {**mean, 'masked_psnr': pytest.approx(mean['psnr'])}
    psnr = f'PSNR {mean["psnr"]:.2f} dB'
    assert evaluation.in_words(masked) == f'{psnr}, mean error 3.0; without masked pixels {psnr}'
