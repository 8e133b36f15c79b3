"""The fields of instant neural graphics primitives (Müller et al. 2022)."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from nerf.fields.layers import Dense
from nerf.ray import encodings, hashgrid

# Features are this many times what the table holds. Adam moves every parameter by about the learning rate, whatever its
# gradient: so the features learn this much faster than the MLPs, whose ReLUs would die at such a rate.
TABLE_GAIN = 4.0
NUM_LATENTS = 16  # outputs of the density MLP; the first is the raw density


def table_init(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
    """Draw a table's features uniformly in +-1e-4: almost zero, but not all alike (Müller et al. 2022, section 4)."""
    return jax.random.uniform(key, shape, dtype, -1e-4, 1e-4)


def clamped_exp(raw_density: Float[Array, '']) -> Float[Array, '']:
    """Compute density exp(min(x, 15)): small steps of x cover many orders of magnitude, and it cannot overflow."""
    return jnp.exp(jnp.minimum(raw_density, 15.0))


class ProposalField(nn.Module):
    """Density alone, for placing samples: the sum of one feature of each resolution, without any MLP.

    Attributes:
        grid: of the features.
    """

    grid: hashgrid.Grid

    @nn.compact
    def __call__(self, point: Float[Array, '3']) -> Float[Array, '']:
        """Compute density (1 / world) of a point in the unit cube."""
        table = self.param('table', table_init, (self.grid.num_rows, 1))
        return clamped_exp(TABLE_GAIN * sum(feature[0] for feature in hashgrid.lookup(self.grid, table, point)))


class HashField(nn.Module):
    """A hash grid, a small MLP for density, and another for colour.

    Attributes:
        grid: of the features.
        num_features: F, of each resolution.
        width: of all hidden layers.
        colour_depth: hidden layers of the colour MLP.
        view_degree: bands of spherical harmonics that encode the view direction.
        compute_dtype: see `nerf.fields.layers.Dense`.
    """

    grid: hashgrid.Grid
    num_features: int
    width: int
    colour_depth: int
    view_degree: int
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """Make the table and the layers of the two MLPs."""
        dense = functools.partial(Dense, compute_dtype=self.compute_dtype)
        self.table = self.param('table', table_init, (self.grid.num_rows, self.num_features))
        self.density_0 = dense(self.width, use_bias=False)
        self.density_1 = dense(NUM_LATENTS, use_bias=False)
        self.colour = [dense(self.width) for _ in range(self.colour_depth)]
        self.rgb = dense(3)

    def __call__(
        self, point: Float[Array, '3'], viewdir: Float[Array, '3']
    ) -> tuple[Float[Array, ''], Float[Array, '3'], dict[str, Array]]:
        """Compute density (1 / world), sRGB and extras of a point in the unit cube, seen along the unit `viewdir`."""
        latents = self._latents(point)
        first, *others = self.colour
        x = nn.relu(first(latents, encodings.spherical_harmonics(viewdir, self.view_degree)))
        for layer in others:
            x = nn.relu(layer(x))
        return clamped_exp(latents[0]), nn.sigmoid(self.rgb(x)), {}

    def density(self, point: Float[Array, '3']) -> Float[Array, '']:
        """Compute density alone, which needs no view direction."""
        return clamped_exp(self._latents(point)[0])

    def _latents(self, point: Array) -> Array:
        features = TABLE_GAIN * jnp.concatenate(list(hashgrid.lookup(self.grid, self.table, point)))
        return self.density_1(nn.relu(self.density_0(features)))
