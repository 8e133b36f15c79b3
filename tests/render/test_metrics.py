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


@pytest.mark.parametrize('name', metrics.METRICS)
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


def test_masked_ssim_far_from_the_mask_is_that_of_the_part():
    prediction, truth = pictures()
    used = np.zeros((32, 40), bool)
    used[:, :25] = True
    narrow, cut = np.zeros_like(used), np.s_[:, :25]
    assert metrics.ssim(prediction, truth, used) != metrics.ssim(prediction[cut], truth[cut])  # windows at the edge are more
    narrow[5:-5, 5:20] = True  # but those alone that lie in the part, all of whose pixels are used
    whole = structural_similarity(
        truth, prediction, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )[1]
    near = np.mean(whole[5:-5, 5:20])
    assert metrics.ssim(prediction[cut], truth[cut]) == pytest.approx(near, abs=1e-6)
    assert metrics.ssim(prediction, truth, narrow) == pytest.approx(near, abs=0.05)
    assert np.isnan(metrics.ssim(prediction, truth, np.zeros_like(used)))


@pytest.mark.parametrize('name', metrics.METRICS)
def test_every_metric_is_a_number_with_a_label(name):
    metric = metrics.METRICS[name]
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 255, (16, 20, 3)).astype(np.uint8)
    value = metric.compute(truth[::-1], truth, None)
    assert isinstance(value, float)
    assert np.isfinite(value)
    assert metric.label
    assert metric.decimals > 0


def test_small_pictures_have_no_ssim():
    tiny = np.zeros((8, 8, 3), np.uint8)
    assert np.isnan(metrics.ssim(tiny, tiny))


def test_a_new_metric_is_in_all_that_is_reported(monkeypatch):
    error = metrics.Metric(lambda p, t, used: float(np.abs(p.astype(float) - t).mean()), 'mean error', decimals=1)
    monkeypatch.setitem(metrics.METRICS, 'error', error)
    truth = np.full((16, 16, 3), 100, np.uint8)
    images = [evaluation.compare(truth + np.uint8(k), truth) for k in (2, 4)]
    mean = evaluation.mean_metrics(images)
    assert mean['error'] == 3
    assert evaluation.in_words(mean).endswith(', mean error 3.0')
    masked = [evaluation.compare(truth + np.uint8(k), truth, np.eye(16, dtype=bool)) for k in (2, 4)]
    assert evaluation.mean_metrics(masked)['masked_error'] == 3
    words = evaluation.in_words(evaluation.mean_metrics(masked))
    assert words.startswith(f'PSNR {mean["psnr"]:.2f} dB, SSIM {mean["ssim"]:.3f}, mean error 3.0; without masked pixels PSNR ')
