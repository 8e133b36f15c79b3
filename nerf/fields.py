"""What is learned: the density and colour of ONE sample on a ray."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from nerf.lifting import flat_add, flat_dot
from nerf.ray import encodings, hashgrid
from nerf.ray.structs import Array, Gaussian

ACTIVATIONS = {'relu': nn.relu, 'softplus': nn.softplus}  # of density


class Dense(nn.Module):
    """Linen's Dense for one sample, [k] -> [features], whose product and bias stay flat when lifted.

    Attributes:
        features: outputs.
        use_bias: whether a bias is added.
        kernel_init: initialiser of the kernel [k, features].
        compute_dtype: of the product alone; parameters, bias, sums and what goes in and out stay float32.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x W + b."""
        kernel = self.param('kernel', self.kernel_init, (x.shape[0], self.features))
        x = flat_dot(x.astype(self.compute_dtype), kernel.astype(self.compute_dtype)).astype(jnp.float32)
        return flat_add(x, self.param('bias', nn.initializers.zeros, (self.features,))) if self.use_bias else x


def joint_glorot_uniform(inputs: int) -> nn.initializers.Initializer:
    """Glorot-uniform initialisation for one block of a layer that has `inputs` inputs in all blocks together."""

    def initialise(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
        limit = jnp.sqrt(6.0 / (inputs + shape[1]))
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return initialise


class RadianceMLP(nn.Module):
    """The MLP of NeRF (figure 7 of the paper): encoded position -> density; with the view direction -> colour.

    A layer that joins two inputs is written as a sum of two layers, W_1 a + W_2 b, initialised as the one layer it
    equals. For features and view direction, W_2's share is then computed once per ray (lifted with the direction
    unmapped); for the skip connection, no joined activations are copied.

    Attributes:
        depth, width: of the trunk.
        skip: the encoded position joins the activations again after layers skip, 2 skip, ... (counted from 0).
        view_width: of the view-direction layer.
        use_viewdirs: whether colour depends on the view direction.
        compute_dtype: see `Dense`.
    """

    depth: int
    width: int
    skip: int
    view_width: int
    use_viewdirs: bool
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, encoded: Array, encoded_viewdir: Array) -> tuple[Array, Array]:
        """Raw density [] and raw colour [3] (before their activations) of one encoded sample [k] seen along [m]."""
        dense = functools.partial(Dense, compute_dtype=self.compute_dtype)
        x = encoded
        for i in range(self.depth):
            if i > 1 and (i - 1) % self.skip == 0:
                joint = joint_glorot_uniform(self.width + encoded.shape[0])
                skipped = dense(self.width, name=f'layer_{i}_encoded', kernel_init=joint, use_bias=False)(encoded)
                x = nn.relu(dense(self.width, name=f'layer_{i}', kernel_init=joint)(x) + skipped)
            else:
                x = nn.relu(dense(self.width, name=f'layer_{i}')(x))
        raw_density = dense(1, name='density')(x)[0]
        if self.use_viewdirs:
            features = dense(self.width, name='bottleneck')(x)
            joint = joint_glorot_uniform(self.width + encoded_viewdir.shape[0])
            x = dense(self.view_width, name='view_features', kernel_init=joint)(features)
            x += dense(self.view_width, name='view_direction', kernel_init=joint, use_bias=False)(encoded_viewdir)
            x = nn.relu(x)
        return raw_density, dense(3, name='rgb')(x)


class NeRFField(nn.Module):
    """NeRF's field of one point.

    Attributes:
        depth, width, skip, view_width, use_viewdirs, compute_dtype: see `RadianceMLP`.
        position_degree, view_degree: octaves of the positional encodings.
        density_activation: 'relu' (the paper's; can die and leave an all-white picture) or 'softplus'.
    """

    depth: int
    width: int
    skip: int
    view_width: int
    use_viewdirs: bool
    position_degree: int
    view_degree: int
    density_activation: str
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, point: Array, viewdir: Array, noise: Array) -> tuple[Array, Array]:
        """Density [] (1 / world) and sRGB [3] of a point [3] seen along `viewdir` [3]; noise [] adds to raw density."""
        encoded = encodings.positional(point, 0, self.position_degree, identity=True)
        widths = (self.depth, self.width, self.skip, self.view_width, self.use_viewdirs)
        mlp = RadianceMLP(*widths, self.compute_dtype, name='mlp')
        raw_density, raw_rgb = mlp(encoded, encodings.direction(viewdir, self.view_degree))
        return ACTIVATIONS[self.density_activation](raw_density + noise), nn.sigmoid(raw_rgb)


class MipNeRFField(nn.Module):
    """mip-NeRF's field of one Gaussian.

    Density is softplus(x - 1), which cannot die; colours are a sigmoid stretched by `rgb_padding` at both ends, so that
    black and white are reached with a finite activation.

    Attributes:
        depth, width, skip, view_width, use_viewdirs, compute_dtype: see `RadianceMLP`.
        position_degree, view_degree: octaves of the encodings.
        rgb_padding: colours lie in [-padding, 1 + padding].
    """

    depth: int
    width: int
    skip: int
    view_width: int
    use_viewdirs: bool
    position_degree: int
    view_degree: int
    rgb_padding: float
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, gaussian: Gaussian, viewdir: Array, noise: Array) -> tuple[Array, Array]:
        """Density [] (1 / world) and sRGB [3] of a Gaussian seen along `viewdir` [3]; noise [] adds to raw density."""
        encoded = encodings.integrated(gaussian, 0, self.position_degree)
        widths = (self.depth, self.width, self.skip, self.view_width, self.use_viewdirs)
        mlp = RadianceMLP(*widths, self.compute_dtype, name='mlp')
        raw_density, raw_rgb = mlp(encoded, encodings.direction(viewdir, self.view_degree))
        rgb = nn.sigmoid(raw_rgb) * (1 + 2 * self.rgb_padding) - self.rgb_padding
        return nn.softplus(raw_density + noise - 1), rgb


# Features are this many times what the table holds. Adam moves every parameter by about the learning rate, whatever its
# gradient: so the features learn this much faster than the MLPs, whose ReLUs would die at such a rate.
TABLE_GAIN = 4.0


def table_init(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
    """Features of a hash grid start uniform in +-1e-4: nearly nothing, but not alike (Müller et al. 2022, section 4)."""
    return jax.random.uniform(key, shape, dtype, -1e-4, 1e-4)


def clamped_exp(raw_density: Array) -> Array:
    """Density exp(min(x, 15)), []: covers many orders of magnitude with small steps, and cannot overflow."""
    return jnp.exp(jnp.minimum(raw_density, 15.0))


class ProposalField(nn.Module):
    """Density alone, for finding where to look: the sum of one feature of each level, without any MLP.

    Attributes:
        grid: of the features.
    """

    grid: hashgrid.Grid

    @nn.compact
    def __call__(self, point: Array) -> Array:
        """Density [] (1 / world) of a point [3] in the unit cube."""
        table = self.param('table', table_init, (self.grid.num_rows, 1))
        return clamped_exp(TABLE_GAIN * sum(feature[0] for feature in hashgrid.lookup(self.grid, table, point)))


class HashField(nn.Module):
    """The field of instant neural graphics primitives: a hash grid, a small MLP for density, another for colour.

    Attributes:
        grid: of the features.
        num_features: F, of each level.
        width: of all hidden layers.
        num_latents: what the density MLP passes on to the colour MLP; the first is the raw density.
        colour_depth: hidden layers of the colour MLP.
        view_degree: bands of spherical harmonics that the view direction is encoded with.
        compute_dtype: see `Dense`.
    """

    grid: hashgrid.Grid
    num_features: int
    width: int
    num_latents: int
    colour_depth: int
    view_degree: int
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, point: Array, viewdir: Array) -> tuple[Array, Array]:
        """Density [] (1 / world) and sRGB [3] of a point [3] in the unit cube, seen along the unit `viewdir` [3]."""
        table = self.param('table', table_init, (self.grid.num_rows, self.num_features))
        features = TABLE_GAIN * jnp.concatenate(list(hashgrid.lookup(self.grid, table, point)))
        hidden = nn.relu(self._dense(self.width, use_bias=False, name='density_0')(features))
        latents = self._dense(self.num_latents, use_bias=False, name='density_1')(hidden)
        return clamped_exp(latents[0]), self._colour(latents, encodings.spherical_harmonics(viewdir, self.view_degree))

    def _colour(self, latents: Array, encoded_viewdir: Array) -> Array:
        joint = joint_glorot_uniform(self.num_latents + encoded_viewdir.shape[0])
        x = self._dense(self.width, name='view_features', kernel_init=joint)(latents)
        x += self._dense(self.width, name='view_direction', kernel_init=joint, use_bias=False)(encoded_viewdir)
        for i in range(1, self.colour_depth):
            x = self._dense(self.width, name=f'colour_{i}')(nn.relu(x))
        return nn.sigmoid(self._dense(3, name='rgb')(nn.relu(x)))

    def _dense(self, features: int, **options: Any) -> Dense:
        return Dense(features, compute_dtype=self.compute_dtype, **options)
