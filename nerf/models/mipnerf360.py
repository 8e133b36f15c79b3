"""mip-NeRF 360 (Barron et al., CVPR 2022): all of space in a ball, and a small network that learns to place the samples."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Key

from nerf.fields.mipnerf360 import MipNeRF360Field, ProposalMLP
from nerf.lifting import over_samples
from nerf.models.protocol import LevelInfo
from nerf.ray import compositing
from nerf.ray.contraction import contract
from nerf.ray.gaussians import cube_to_gaussian, frustum_to_gaussian, push_forward
from nerf.ray.histogram import anneal, dilate
from nerf.ray.maths import split_key
from nerf.ray.photos import Photo
from nerf.ray.sampling import sample_intervals
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Gaussian, Level, Ray, Scalar, expect_one_ray

# The paper's recipe of resampling: the slope of the annealing, and how far the histogram is dilated, in s, as a multiple of the
# interval length that resampling has reached where weights concentrate, and a constant.
ANNEAL_SLOPE = 10.0
DILATION = 0.5
DILATION_BIAS = 0.0025


class MipNeRF360(nn.Module):
    """The model of one ray.

    Attributes:
        num_proposal, num_samples: intervals of each of the two proposals, and of the final level.
        proposal_depth, proposal_width: of the one MLP of both proposals.
        depth, width, bottleneck, view_width: of the final level's MLP, see `nerf.fields.layers`.
        position_degree, view_degree: numbers of frequencies L of the encodings.
        spacing: of the first level, see `nerf.ray.spacing`.
        contract: whether all of space is contracted to a ball of radius 2 (unbounded scenes).
        opaque_background: whether alpha of the last interval is 1, so that sum_i w_i = 1 and no background shows.
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    LEVELS = (
        LevelInfo('proposal_1', 'num_proposal', has_colour=False),
        LevelInfo('proposal_2', 'num_proposal', has_colour=False),
        LevelInfo('final', 'num_samples'),
    )
    END_SWITCHES = ('opaque_background',)

    num_proposal: int = 64
    num_samples: int = 32
    proposal_depth: int = 4
    proposal_width: int = 256
    depth: int = 8
    width: int = 1024
    bottleneck: int = 256
    view_width: int = 128
    position_degree: int = 12
    view_degree: int = 4
    spacing: str = 'disparity'
    contract: bool = True
    opaque_background: bool = True
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """Make the networks."""
        self.proposal = ProposalMLP(
            depth=self.proposal_depth,
            width=self.proposal_width,
            position_degree=self.position_degree,
            compute_dtype=self.compute_dtype,
        )
        self.field = MipNeRF360Field(
            depth=self.depth,
            width=self.width,
            bottleneck=self.bottleneck,
            view_width=self.view_width,
            position_degree=self.position_degree,
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
        """Render two proposals, without colour, and the final level of one ray: see `nerf.models.protocol.Model`."""
        expect_one_ray(ray)
        first_key, second_key, key = split_key(key, 3)
        whole = jnp.array([0.0, 1.0]), jnp.ones(1)
        first = self._render_proposal(sample_intervals(first_key, *whole, self.num_proposal), ray)
        s = self._resample(second_key, first, progress, 1 / self.num_proposal, self.num_proposal)
        second = self._render_proposal(s, ray)
        s = self._resample(key, second, progress, 1 / self.num_proposal**2, self.num_samples)
        return [first, second, self._render_level(s, ray)]

    def density(self, point: Float[Array, '3'], width: Scalar) -> Float[Array, '']:
        """Compute density (1 / world) around a point: see `nerf.models.protocol.Model`."""
        return self.field.density(self._contract(cube_to_gaussian(point, width)))

    def _resample(self, key: Array | None, level: Level, progress: Array | float, expected: float, num: int) -> Array:
        """Draw fenceposts [num + 1] from a proposal's weights; `expected` is 1 / product of all counts so far."""
        s, weights = dilate(level.s, level.weights, DILATION * expected + DILATION_BIAS)
        return sample_intervals(key, s, anneal(weights, progress, ANNEAL_SLOPE), num)

    def _render_proposal(self, s: Array, ray: Ray) -> Level:
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        density = over_samples(self.proposal)(self._gaussians(t, ray))
        return Level(s, t, density, jnp.zeros((density.shape[0], 3)), self._weights(density, t, ray))

    def _render_level(self, s: Array, ray: Ray) -> Level:
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        density, rgb, extras = over_samples(self.field, in_axes=(0, None))(self._gaussians(t, ray), ray.viewdir)
        return Level(s, t, density, rgb, self._weights(density, t, ray), extras)

    def _weights(self, density: Array, t: Array, ray: Ray) -> Array:
        return compositing.weights(density, compositing.lengths(t, ray.direction), self.opaque_background)

    def _gaussians(self, t: Array, ray: Ray) -> Gaussian:
        def segment(t0: Array, t1: Array) -> Gaussian:
            return self._contract(frustum_to_gaussian(t0, t1, ray.origin, ray.direction, ray.radius))

        return over_samples(segment)(t[:-1], t[1:])

    def _contract(self, gaussian: Gaussian) -> Gaussian:
        return push_forward(contract, gaussian) if self.contract else gaussian
