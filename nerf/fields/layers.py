"""Layers that fields are made of: Dense for one sample, and the two parts of NeRF's MLP."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from nerf.flat import flat_add, flat_dot


def glorot_limit(inputs: int, outputs: int) -> float:
    """Return the bound of Glorot-uniform initialisation, sqrt(6 / (inputs + outputs))."""
    return math.sqrt(6.0 / (inputs + outputs))


def he_limit(inputs: int, outputs: int) -> float:
    """Return the bound of He-uniform initialisation, sqrt(6 / inputs)."""
    return math.sqrt(6.0 / inputs)


class Dense(nn.Module):
    """Linen's Dense for one sample, of one input or of two: W_1 a + W_2 b + bias, with products that stay flat when lifted.

    Two inputs are the same layer as one of [a, b], and are initialised as that layer. Written as a sum, W_2 b is computed once
    per ray where b is the view direction (lifted with b unmapped), and no joined activations are copied.

    Attributes:
        features: number of outputs.
        use_bias: whether a bias is added.
        limit: bound of the uniform initialisation, as a function of the numbers of all inputs and outputs.
        compute_dtype: 'bfloat16': of the products alone; bias, sums and outputs keep the input's dtype, as 'float32' lets all.
    """

    features: int
    use_bias: bool = True
    limit: Callable[[int, int], float] = glorot_limit
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, a: Float[Array, 'k'], b: Float[Array, 'm'] | None = None) -> Float[Array, 'features']:
        """Compute W_1 a + W_2 b + bias."""
        limit = self.limit(a.shape[0] + (0 if b is None else b.shape[0]), self.features)
        x = self._product('kernel', a, limit)
        if self.use_bias:
            x = flat_add(x, self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32).astype(x.dtype))
        return x if b is None else x + self._product('second_kernel', b, limit)

    def _product(self, name: str, x: Array, limit: float) -> Array:
        def uniform(key: Array, shape: tuple[int, int]) -> Array:
            return jax.random.uniform(key, shape, jnp.float32, -limit, limit)

        kernel = self.param(name, uniform, (x.shape[0], self.features))
        dtype = x.dtype if self.compute_dtype == 'float32' else self.compute_dtype
        return flat_dot(x.astype(dtype), kernel.astype(dtype)).astype(x.dtype)


class Trunk(nn.Module):
    """The layers that encoded positions pass through, up to the activations that density and colour are made from.

    Attributes:
        depth, width: of the layers.
        limit, compute_dtype: see `Dense`.
    """

    SKIP = 4  # skip connection: the encoding is also an input of layers 5, 9, ... (counted from 0)

    depth: int
    width: int
    limit: Callable[[int, int], float] = glorot_limit
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, encoded: Float[Array, 'k']) -> Float[Array, 'width']:
        """Compute the last activations of one encoded position."""
        x = encoded
        for i in range(self.depth):
            joined = encoded if i > 1 and (i - 1) % self.SKIP == 0 else None
            x = nn.relu(Dense(self.width, limit=self.limit, compute_dtype=self.compute_dtype, name=f'layer_{i}')(x, joined))
        return x


class Head(nn.Module):
    """The layers from a trunk's activations and an encoded view direction to raw colour.

    Attributes:
        bottleneck: number of features that are concatenated with the view direction.
        view_width: of the layer that reads both.
        use_viewdirs: whether colour depends on the view direction; False leaves one layer, from activations to colour.
        limit, compute_dtype: see `Dense`.
    """

    bottleneck: int
    view_width: int
    use_viewdirs: bool = True
    limit: Callable[[int, int], float] = glorot_limit
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Float[Array, 'width'], encoded_viewdir: Float[Array, 'm']) -> Float[Array, '3']:
        """Compute raw colour (before its activation) of one sample."""
        dense = functools.partial(Dense, limit=self.limit, compute_dtype=self.compute_dtype)
        if self.use_viewdirs:
            features = dense(self.bottleneck, name='bottleneck')(x)
            x = nn.relu(dense(self.view_width, name='view')(features, encoded_viewdir))
        return dense(3, name='rgb')(x)
