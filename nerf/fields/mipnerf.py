"""mip-NeRF's field of one Gaussian."""

from flax import linen as nn
from jaxtyping import Array, Float

from nerf.fields.layers import Dense, Head, Trunk
from nerf.ray import encodings
from nerf.ray.structs import Gaussian, Scalar

RGB_PADDING = 0.001  # of the sigmoid, at both ends: black and white are then reached with a finite activation


def padded_sigmoid(raw_rgb: Float[Array, '3']) -> Float[Array, '3']:
    """Compute sRGB from raw colour, (1 + 2 p) sigmoid(x) - p with p = 0.001 (mip-NeRF, section 3.1 and supplement)."""
    return nn.sigmoid(raw_rgb) * (1 + 2 * RGB_PADDING) - RGB_PADDING


def shifted_softplus(raw_density: Float[Array, '']) -> Float[Array, '']:
    """Compute density from raw density, log(1 + exp(x - 1)): unlike a ReLU it cannot die (mip-NeRF, supplement)."""
    return nn.softplus(raw_density - 1)


class MipNeRFField(nn.Module):
    """mip-NeRF's field of one Gaussian.

    Attributes:
        depth, width: of the trunk.
        view_width: of the layer that the view direction joins.
        use_viewdirs: whether colour depends on the view direction.
        position_degree, view_degree: numbers of frequencies L of the encodings.
        integrate: False encodes the mean alone, without the covariance (the paper's ablation).
        compute_dtype: see `nerf.fields.layers.Dense`.
    """

    depth: int
    width: int
    view_width: int
    use_viewdirs: bool
    position_degree: int
    view_degree: int
    integrate: bool = True
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """Make the trunk, the layer of density and the head of colour."""
        self.trunk = Trunk(depth=self.depth, width=self.width, compute_dtype=self.compute_dtype)
        self.raw_density = Dense(1, compute_dtype=self.compute_dtype)
        self.head = Head(
            bottleneck=self.width,
            view_width=self.view_width,
            use_viewdirs=self.use_viewdirs,
            compute_dtype=self.compute_dtype,
        )

    def __call__(
        self, gaussian: Gaussian, viewdir: Float[Array, '3'], noise: Scalar = 0.0
    ) -> tuple[Float[Array, ''], Float[Array, '3'], dict[str, Array]]:
        """Compute density (1 / world), sRGB and extras of a Gaussian seen along `viewdir`; `noise` is added to raw density."""
        x = self._activations(gaussian)
        raw_rgb = self.head(x, encodings.direction(viewdir, self.view_degree))
        return shifted_softplus(self.raw_density(x)[0] + noise), padded_sigmoid(raw_rgb), {}

    def density(self, gaussian: Gaussian) -> Float[Array, '']:
        """Compute density alone, which needs no view direction."""
        return shifted_softplus(self.raw_density(self._activations(gaussian))[0])

    def _activations(self, gaussian: Gaussian) -> Array:
        gaussian = gaussian if self.integrate else gaussian.replace(cov=0 * gaussian.cov)
        return self.trunk(encodings.integrated(gaussian, 0, self.position_degree))
