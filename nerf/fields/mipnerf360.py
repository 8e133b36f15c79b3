"""What mip-NeRF 360 learns (Barron et al., CVPR 2022): a large MLP for what is seen, a small one for where to look."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from nerf.fields.layers import Dense
from nerf.ray import encodings
from nerf.ray.structs import Array, Gaussian


def he_uniform(inputs: int) -> nn.initializers.Initializer:
    """He-uniform initialisation for a layer, or one block of a layer, that has `inputs` inputs in all blocks together."""

    def initialise(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
        limit = jnp.sqrt(6.0 / inputs)
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return initialise


class Layer(nn.Module):
    """One layer of one or two inputs, written as a sum of products: W_1 a + W_2 b + bias.

    Attributes:
        features: outputs.
        compute_dtype: see `nerf.fields.layers.Dense`.
    """

    features: int
    compute_dtype: str

    @nn.compact
    def __call__(self, a: Array, b: Array | None = None) -> Array:
        """[k], [m] -> [features]."""
        inputs = a.shape[0] + (0 if b is None else b.shape[0])
        dense = functools.partial(Dense, self.features, kernel_init=he_uniform(inputs), compute_dtype=self.compute_dtype)
        x = dense(name='first')(a)
        return x if b is None else x + dense(use_bias=False, name='second')(b)


class Trunk(nn.Module):
    """The MLP of encoded Gaussians that both networks have.

    Attributes:
        depth, width: its layers.
        position_degree: octaves of the encoding.
        compute_dtype: see `nerf.fields.layers.Dense`.
    """

    SKIP = 4  # the encoding joins the activations again after layers 4, 8, ... (counted from 0)

    depth: int
    width: int
    position_degree: int
    compute_dtype: str

    @nn.compact
    def __call__(self, gaussian: Gaussian) -> tuple[Array, Array]:
        """Density [] (1 / world), softplus(x - 1), and the last activations [width], of a Gaussian in the bent space."""
        encoded = encodings.integrated_off_axis(gaussian, 0, self.position_degree)
        x = encoded
        for i in range(self.depth):
            skipped = encoded if i > 1 and (i - 1) % self.SKIP == 0 else None
            x = nn.relu(Layer(self.width, self.compute_dtype, name=f'layer_{i}')(x, skipped))
        raw_density = Layer(1, self.compute_dtype, name='density')(x)[0]
        return nn.softplus(raw_density - 1), x


class Field360(nn.Module):
    """Density and colour of one Gaussian.

    Attributes:
        depth, width, position_degree, compute_dtype: see `Trunk`.
        bottleneck: features that the colour is made from.
        view_width: of the layer that the view direction joins.
        view_degree: octaves of the direction's encoding.
        rgb_padding: colours lie in [-padding, 1 + padding].
    """

    depth: int
    width: int
    position_degree: int
    bottleneck: int
    view_width: int
    view_degree: int
    rgb_padding: float
    compute_dtype: str

    @nn.compact
    def __call__(self, gaussian: Gaussian, viewdir: Array) -> tuple[Array, Array]:
        """Density [] (1 / world) and sRGB [3] of a Gaussian in the bent space, seen along the unit `viewdir` [3]."""
        density, x = Trunk(self.depth, self.width, self.position_degree, self.compute_dtype, name='trunk')(gaussian)
        x = Layer(self.bottleneck, self.compute_dtype, name='bottleneck')(x)
        encoded_viewdir = encodings.direction(viewdir, self.view_degree)
        x = nn.relu(Layer(self.view_width, self.compute_dtype, name='view')(x, encoded_viewdir))
        rgb = nn.sigmoid(Layer(3, self.compute_dtype, name='rgb')(x))
        return density, rgb * (1 + 2 * self.rgb_padding) - self.rgb_padding
