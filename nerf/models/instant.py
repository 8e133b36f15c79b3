"""Instant neural graphics primitives (Müller et al. 2022): features from a hash grid, and two small MLPs.

Where to look is learned by a proposal, as in mip-NeRF 360 (Barron et al. 2022): a grid of densities that an interlevel
loss makes an upper bound of what the field sees.
"""

import jax.numpy as jnp
from flax import linen as nn

from nerf.fields.hashgrid import HashField, ProposalField
from nerf.lifting import over_samples
from nerf.ray import compositing, stepfun
from nerf.ray.contraction import contract
from nerf.ray.hashgrid import Grid
from nerf.ray.maths import split_key
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Array, Level, Ray, expect_one_ray


def box_to_unit_cube(point: Array, bound: float) -> Array:
    """A world point as a point of the unit cube, which covers [-bound, bound]^3 of the world, [3] -> [3]."""
    return (point + bound) / (2 * bound)


def contract_to_unit_cube(point: Array) -> Array:
    """Any world point as a point of the unit cube, in which the ball that all of space is contracted to lies, [3] -> [3]."""
    return (contract(point) + 2) / 4


class Instant(nn.Module):
    """A hash grid for one ray.

    Attributes:
        num_proposal, num_samples: intervals of the proposal, and of the level that is seen.
        bound: half the width of the cube around the origin that holds the scene, world.
        num_levels, coarsest, finest, log2_rows: of the hash grid, see `nerf.ray.hashgrid.Grid`.
        num_features: of each level.
        proposal_levels, proposal_coarsest, proposal_finest, proposal_log2_rows: of the proposal's grid.
        width, colour_depth, num_latents, view_degree: of the MLPs, see `nerf.fields.hashgrid.HashField`.
        resample_padding: added to the proposal's weights before the samples are drawn.
        spacing: of the proposal's intervals, see `nerf.ray.spacing`.
        contract: whether all of space is bent into the cube (unbounded scenes); `bound` then means nothing.
        opaque_background: whether rays always end in the last interval.
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    SAMPLES = ('num_proposal', 'num_samples')

    num_proposal: int = 64
    num_samples: int = 32
    bound: float = 1.5
    num_levels: int = 16
    coarsest: int = 16
    finest: int = 2048
    log2_rows: int = 19
    num_features: int = 2
    proposal_levels: int = 2
    proposal_coarsest: int = 16
    proposal_finest: int = 64
    proposal_log2_rows: int = 19
    width: int = 64
    colour_depth: int = 2
    num_latents: int = 16
    view_degree: int = 4
    resample_padding: float = 0.01
    spacing: str = 'linear'
    contract: bool = False
    opaque_background: bool = False
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """The proposal's grid, and the field."""
        grid = Grid(self.proposal_levels, self.proposal_coarsest, self.proposal_finest, self.proposal_log2_rows)
        self.proposal = ProposalField(grid)
        grid = Grid(self.num_levels, self.coarsest, self.finest, self.log2_rows)
        widths = (self.num_features, self.width, self.num_latents, self.colour_depth, self.view_degree)
        self.field = HashField(grid, *widths, self.compute_dtype)

    def __call__(self, ray: Ray, key: Array | None = None, progress: Array | float = 1.0) -> list[Level]:
        """The proposal, without colour, and the level that is seen; `key` None renders deterministically."""
        expect_one_ray(ray)
        proposal_key, key = split_key(key, 2)
        s = stepfun.stratified(proposal_key, self.num_proposal + 1)
        proposal = self._propose(s, ray)
        s = stepfun.sample(key, s, proposal.weights + self.resample_padding, self.num_samples + 1)
        return [proposal, self._look(s, ray)]

    def density(self, point: Array, width: Array) -> Array:
        """Density [] (1 / world) at a point [3], 0 outside the cube; `width` [], of what it stands for, is not used."""
        at = self._warped(point)
        return jnp.where(jnp.all((at >= 0) & (at <= 1)), self.field(at, jnp.zeros(3))[0], 0.0)

    def _propose(self, s: Array, ray: Ray) -> Level:
        t, points = self._points(s, ray)
        density = over_samples(self.proposal)(points)
        weights = self._weights(density, t, ray)
        return Level(s=s, t=t, density=density, rgb=jnp.zeros((self.num_proposal, 3)), weights=weights)

    def _look(self, s: Array, ray: Ray) -> Level:
        t, points = self._points(s, ray)
        density, rgb = over_samples(self.field, in_axes=(0, None))(points, ray.viewdir)
        weights = self._weights(density, t, ray)
        return Level(s=s, t=t, density=density, rgb=rgb, weights=weights)

    def _points(self, s: Array, ray: Ray) -> tuple[Array, Array]:
        """Fenceposts t [n+1] and, for the middle of each interval, its point of the unit cube, [n, 3]."""
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        middles = 0.5 * (t[1:] + t[:-1])
        return t, over_samples(lambda t: self._warped(ray.origin + t * ray.direction))(middles)

    def _warped(self, point: Array) -> Array:
        return contract_to_unit_cube(point) if self.contract else box_to_unit_cube(point, self.bound)

    def _weights(self, density: Array, t: Array, ray: Ray) -> Array:
        return compositing.weights(density, compositing.lengths(t, ray.direction), self.opaque_background)
