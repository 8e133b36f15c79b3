"""Instant neural graphics primitives (Müller et al. 2022): features from a hash grid, and two small MLPs.

Samples are placed by a proposal, as in mip-NeRF 360 (Barron et al. 2022): a grid of densities that an interlevel loss makes
an upper bound of the final level's weights.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from nerf.fields.hashgrid import HashField, ProposalField
from nerf.lifting import over_samples
from nerf.models.protocol import LevelInfo
from nerf.ray import compositing
from nerf.ray.contraction import contract
from nerf.ray.hashgrid import Grid
from nerf.ray.maths import split_key
from nerf.ray.photos import Photo
from nerf.ray.sampling import sample, stratified
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Level, Ray, Scalar, expect_one_ray

COARSEST = 16  # cells per axis of both grids' lowest resolution
PROPOSAL_GRID = Grid(2, COARSEST, 64, 19)


def box_to_unit_cube(point: Float[Array, '3'], bound: float) -> Float[Array, '3']:
    """Map a world point to the unit cube, which covers [-bound, bound]^3 of the world."""
    return (point + bound) / (2 * bound)


def contract_to_unit_cube(point: Float[Array, '3']) -> Float[Array, '3']:
    """Map any world point to the unit cube that holds the ball to which all of space is contracted."""
    return (contract(point) + 2) / 4


class Instant(nn.Module):
    """The model of one ray.

    Attributes:
        num_proposal, num_samples: intervals of the proposal, and of the final level.
        bound: half the width of the cube around the origin that holds the scene, world.
        num_levels, finest, log2_rows: resolutions of the hash grid, see `nerf.ray.hashgrid.Grid`.
        num_features: of each resolution.
        width, colour_depth, view_degree: of the MLPs, see `nerf.fields.hashgrid.HashField`.
        spacing: of the first level, see `nerf.ray.spacing`.
        contract: whether all of space is contracted into the cube (unbounded scenes); `bound` then means nothing.
        opaque_background: whether all light that is left stops in the last interval.
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    LEVELS = (LevelInfo('proposal', 'num_proposal', has_colour=False), LevelInfo('final', 'num_samples'))
    END_SWITCHES = ('opaque_background',)

    num_proposal: int = 64
    num_samples: int = 32
    bound: float = 1.5
    num_levels: int = 16
    finest: int = 2048
    log2_rows: int = 19
    num_features: int = 2
    width: int = 64
    colour_depth: int = 2
    view_degree: int = 4
    spacing: str = 'linear'
    contract: bool = False
    opaque_background: bool = False
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """Make the proposal's grid, and the field."""
        self.proposal = ProposalField(PROPOSAL_GRID)
        self.field = HashField(
            grid=Grid(self.num_levels, COARSEST, self.finest, self.log2_rows),
            num_features=self.num_features,
            width=self.width,
            colour_depth=self.colour_depth,
            view_degree=self.view_degree,
            compute_dtype=self.compute_dtype,
        )

    def __call__(
        self,
        ray: Ray,
        key: Key[Array, ''] | None = None,
        progress: Scalar = 1.0,
        photo: Photo | None = None,
    ) -> list[Level]:
        """Render the proposal, without colour, and the final level of one ray: see `nerf.models.protocol.Model`."""
        expect_one_ray(ray)
        proposal_key, key = split_key(key, 2)
        proposal = self._render_proposal(stratified(proposal_key, self.num_proposal + 1), ray)
        # Padded, so that every interval is sampled now and then, however little the proposal expects there.
        s = sample(key, proposal.s, proposal.weights + 0.01, self.num_samples + 1)
        return [proposal, self._render_level(s, ray)]

    def density(self, point: Float[Array, '3'], width: Scalar) -> Float[Array, '']:
        """Compute density (1 / world) at a point, 0 outside the cube: see `nerf.models.protocol.Model`."""
        at = self._to_cube(point)
        return jnp.where(jnp.all((at >= 0) & (at <= 1)), self.field.density(at), 0.0)

    def _render_proposal(self, s: Array, ray: Ray) -> Level:
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        density = over_samples(self.proposal)(self._points(t, ray))
        return Level(s, t, density, jnp.zeros((density.shape[0], 3)), self._weights(density, t, ray))

    def _render_level(self, s: Array, ray: Ray) -> Level:
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        density, rgb, extras = over_samples(self.field, in_axes=(0, None))(self._points(t, ray), ray.viewdir)
        return Level(s, t, density, rgb, self._weights(density, t, ray), extras)

    def _points(self, t: Array, ray: Ray) -> Array:
        """Return the middle of each interval as a point of the unit cube, [n, 3]."""
        middles = 0.5 * (t[1:] + t[:-1])
        return over_samples(lambda t: self._to_cube(ray.origin + t * ray.direction))(middles)

    def _to_cube(self, point: Array) -> Array:
        return contract_to_unit_cube(point) if self.contract else box_to_unit_cube(point, self.bound)

    def _weights(self, density: Array, t: Array, ray: Ray) -> Array:
        return compositing.weights(density, compositing.lengths(t, ray.direction), self.opaque_background)
