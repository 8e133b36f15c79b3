"""LPIPS, the distance of two pictures to the eyes of a network that was trained to recognise objects.

Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018; version 0.1.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nerf.render.lpips_weights import load_weights

Features = list[Float[Array, '_ _ _']]
# Mean and standard deviation of the pictures that both networks were trained on, in colours from -1 to 1.
MEAN, DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10
MOST_PIXELS = 2**22  # with which VGG needs about 6 GB


@dataclasses.dataclass(frozen=True)
class Stage:
    """Layers of a network up to features that are compared: a max pool of step 2, then convolutions, each with a ReLU.

    Attributes:
        pool: window of the pool, px; 0: none.
        convolutions: their number.
        stride, padding: of each, px.
    """

    pool: int = 0
    convolutions: int = 1
    stride: int = 1
    padding: int = 1


@dataclasses.dataclass(frozen=True)
class Network:
    """One network that LPIPS is defined with.

    Attributes:
        weights: their name, see `load_weights`.
        stages: its layers.
        smallest: side of the smallest pictures of which its last features have a pixel.
    """

    weights: str
    stages: tuple[Stage, ...]
    smallest: int


ALEXNET = Network('alexnet', (Stage(stride=4, padding=2), Stage(3, padding=2), Stage(3), Stage(), Stage()), smallest=31)
VGG16 = Network('vgg16', (Stage(0, 2), Stage(2, 2), Stage(2, 3), Stage(2, 3), Stage(2, 3)), smallest=16)


def lpips(network: Network, prediction: np.ndarray, truth: np.ndarray) -> float:
    """Compute the LPIPS of two uint8 images [h, w, 3], 0 for equal ones and the same in either order; see `distance`.

    Raises:
        UserError: the weights are not installed.
    """
    weights = _weights_on_device(network.weights)
    ours, theirs = (_features(network, weights, image.astype(np.float32) / 255) for image in (prediction, truth))
    return float(_distance(weights, ours, theirs))


def lacks_lpips(network: Network, height: int, width: int) -> str:
    """Return why pictures of a size have no LPIPS; '' for those that have one."""
    if min(height, width) < network.smallest:
        return f'smaller than {network.smallest} px'
    return f'more than {MOST_PIXELS / 1e6:.1f} megapixels' if height * width > MOST_PIXELS else ''


@functools.cache
def _weights_on_device(name: str) -> dict[str, Array]:
    return jax.tree.map(jnp.asarray, load_weights(name))


def features(network: Network, weights: dict[str, Array], image: Float[Array, 'h w 3']) -> Features:
    """Compute the features after each stage of a network, [h', w', channels], of ONE image with colours in [0, 1].

    Those of each pixel are divided by their length.
    """
    mean, deviation = (jnp.array([[each]], image.dtype) for each in (MEAN, DEVIATION))
    values, maps, number = (2 * image - 1 - mean) / deviation, [], 0
    for stage in network.stages:
        if stage.pool:
            values = nn.max_pool(values, (stage.pool, stage.pool), strides=(2, 2))
        for _ in range(stage.convolutions):
            filtered = convolve(values, weights[f'kernel_{number}'], stage.stride, stage.padding)
            values, number = nn.relu(filtered + weights[f'bias_{number}'][None, None]), number + 1
        maps.append(values / (jnp.linalg.norm(values, axis=-1, keepdims=True) + EPSILON))
    return maps


def convolve(
    values: Float[Array, 'h w c'], kernel: Float[Array, 'k k c n'], stride: int, padding: int
) -> Float[Array, '_ _ n']:
    """Convolve ONE image with a kernel, zeros around it: y_ijn = sum_abc x_(si+a-p)(sj+b-p)c k_abcn."""
    # An accelerator's faster products have three digits, too few for a small difference of large features.
    (filtered,) = jax.lax.conv_general_dilated(
        values[None],
        kernel,
        window_strides=(stride, stride),
        padding=[(padding, padding)] * 2,
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        precision='highest',
    )
    return filtered


def distance(weights: dict[str, Array], ours: Features, theirs: Features) -> Float[Array, '']:
    """Compute the LPIPS of ONE pair of images from their `features`: sum_l mean_xy sum_c w_lc (u_lxyc - v_lxyc)^2.

    u_l and v_l are the features of stage l; w_l >= 0 was fitted to what people see as different.
    """
    total = jnp.zeros(())
    for i, (u, v) in enumerate(zip(ours, theirs, strict=True)):
        total += jnp.mean(jnp.tensordot((u - v) ** 2, weights[f'linear_{i}'], 1, precision='highest'))
    return total


# Both images go through the same compiled program: equal ones have equal features, to the last bit.
_features, _distance = jax.jit(features, static_argnums=0), jax.jit(distance)
