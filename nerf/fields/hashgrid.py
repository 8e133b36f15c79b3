"""The fields of instant neural graphics primitives (Müller et al. 2022)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from nerf.fields.layers import Dense, joint_glorot_uniform
from nerf.ray import encodings, hashgrid
from nerf.ray.structs import Array

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
