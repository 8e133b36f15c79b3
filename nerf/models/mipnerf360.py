"""mip-NeRF 360 (Barron et al., CVPR 2022): all of space in a ball, and a small network that learns where to look."""

import functools

import jax.numpy as jnp
from flax import linen as nn

from nerf.fields.mipnerf360 import Field360, Trunk
from nerf.lifting import over_samples
from nerf.ray import compositing, stepfun
from nerf.ray.contraction import contract
from nerf.ray.gaussians import frustum_to_gaussian, push_forward
from nerf.ray.maths import split_key
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Array, Gaussian, Level, Ray, expect_one_ray


class MipNeRF360(nn.Module):
    """mip-NeRF 360 for one ray.

    Attributes:
        num_proposal, num_samples: intervals of each of the two proposals, and of the level that is seen.
        proposal_depth, proposal_width: of the one MLP of both proposals.
        depth, width, bottleneck, view_width: of the MLP of what is seen, see `nerf.fields.mipnerf360.Field360`.
        position_degree, view_degree: octaves of the encodings.
        rgb_padding: how far colours reach beyond [0, 1].
        anneal_slope: how soon samples follow the proposal, see `nerf.ray.stepfun.anneal`.
        dilation: how far a proposal's weights are spread before they are followed, in intervals of its level.
        dilation_bias: and in s besides.
        spacing: of the first intervals, see `nerf.ray.spacing`.
        contract: whether space is bent into a ball of radius 2 before it is encoded.
        opaque_background: whether rays always end in the last interval.
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    SAMPLES = ('num_proposal', 'num_samples')

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
    rgb_padding: float = 0.001
    anneal_slope: float = 10.0
    dilation: float = 0.5
    dilation_bias: float = 0.0025
    spacing: str = 'disparity'
    contract: bool = True
    opaque_background: bool = True
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """The proposals' network, and the one that is seen."""
        self.proposal = Trunk(self.proposal_depth, self.proposal_width, self.position_degree, self.compute_dtype)
        widths = (self.bottleneck, self.view_width, self.view_degree, self.rgb_padding)
        self.field = Field360(self.depth, self.width, self.position_degree, *widths, self.compute_dtype)

    def __call__(self, ray: Ray, key: Array | None = None, progress: Array | float = 1.0) -> list[Level]:
        """Two proposals, without colour, and the level that is seen; `key` None renders deterministically."""
        expect_one_ray(ray)
        first_key, second_key, key = split_key(key, 3)
        one = jnp.array([0.0, 1.0]), jnp.ones(1)
        first = self._propose(stepfun.sample_intervals(first_key, *one, self.num_proposal), ray)
        second = self._propose(self._resample(second_key, first, progress, 1 / self.num_proposal, self.num_proposal), ray)
        s = self._resample(key, second, progress, 1 / self.num_proposal**2, self.num_samples)
        return [first, second, self._look(s, ray)]

    def density(self, point: Array, width: Array) -> Array:
        """Density [] (1 / world) around a point [3], over about a cube of this `width` []."""
        return self.field(self._bent(Gaussian(mean=point, cov=width**2 / 12 * jnp.eye(3))), jnp.zeros(3))[0]

    def _resample(self, key: Array | None, level: Level, progress: Array | float, interval: float, num: int) -> Array:
        """Fenceposts [num + 1] where a proposal looked promising; `interval` is the length of its intervals, on average."""
        s, weights = stepfun.dilate(level.s, level.weights, self.dilation_bias + self.dilation * interval)
        return stepfun.sample_intervals(key, s, stepfun.anneal(weights, progress, self.anneal_slope), num)

    def _propose(self, s: Array, ray: Ray) -> Level:
        t, gaussians = self._segments(s, ray)
        density = over_samples(lambda gaussian: self.proposal(gaussian)[0])(gaussians)
        return Level(s=s, t=t, density=density, rgb=jnp.zeros((density.shape[0], 3)), weights=self._weights(density, t, ray))

    def _look(self, s: Array, ray: Ray) -> Level:
        t, gaussians = self._segments(s, ray)
        density, rgb = over_samples(self.field, in_axes=(0, None))(gaussians, ray.viewdir)
        return Level(s=s, t=t, density=density, rgb=rgb, weights=self._weights(density, t, ray))

    def _weights(self, density: Array, t: Array, ray: Ray) -> Array:
        return compositing.weights(density, compositing.lengths(t, ray.direction), self.opaque_background)

    def _segments(self, s: Array, ray: Ray) -> tuple[Array, Gaussian]:
        """Fenceposts t [n+1] and the Gaussian of each interval, in the space that is encoded."""
        t = s_to_t(s, ray.near, ray.far, self.spacing)
        segment = functools.partial(frustum_to_gaussian, origin=ray.origin, direction=ray.direction, radius=ray.radius)
        return t, over_samples(lambda t0, t1: self._bent(segment(t0, t1)))(t[:-1], t[1:])

    def _bent(self, gaussian: Gaussian) -> Gaussian:
        return push_forward(contract, gaussian) if self.contract else gaussian
