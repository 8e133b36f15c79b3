"""mip-NeRF 360's two fields (Barron et al., CVPR 2022): a large MLP for density and colour, a small one for proposals."""

from flax import linen as nn
from jaxtyping import Array, Float

from nerf.fields.layers import Dense, Head, Trunk, he_limit
from nerf.fields.mipnerf import padded_sigmoid, shifted_softplus
from nerf.ray import encodings
from nerf.ray.structs import Gaussian


class ProposalMLP(nn.Module):
    """Density alone, of one Gaussian in the contracted space.

    Attributes:
        depth, width: of the trunk.
        position_degree: number of frequencies L of the encoding.
        compute_dtype: see `nerf.fields.layers.Dense`.
    """

    depth: int
    width: int
    position_degree: int
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, gaussian: Gaussian) -> Float[Array, '']:
        """Compute density (1 / world) of a Gaussian."""
        encoded = encodings.integrated_off_axis(gaussian, 0, self.position_degree)
        x = Trunk(self.depth, self.width, he_limit, self.compute_dtype, name='trunk')(encoded)
        return shifted_softplus(Dense(1, limit=he_limit, compute_dtype=self.compute_dtype, name='raw_density')(x)[0])


class MipNeRF360Field(nn.Module):
    """Density and colour of one Gaussian in the contracted space.

    Attributes:
        depth, width: of the trunk.
        bottleneck: number of features that the view direction joins.
        view_width: of the layer that it joins.
        position_degree, view_degree: numbers of frequencies L of the encodings.
        compute_dtype: see `nerf.fields.layers.Dense`.
    """

    depth: int
    width: int
    bottleneck: int
    view_width: int
    position_degree: int
    view_degree: int
    compute_dtype: str = 'float32'

    def setup(self) -> None:
        """Make the trunk, the layer of density and the head of colour."""
        self.trunk = Trunk(self.depth, self.width, he_limit, self.compute_dtype)
        self.raw_density = Dense(1, limit=he_limit, compute_dtype=self.compute_dtype)
        self.head = Head(self.bottleneck, self.view_width, limit=he_limit, compute_dtype=self.compute_dtype)

    def __call__(
        self, gaussian: Gaussian, viewdir: Float[Array, '3']
    ) -> tuple[Float[Array, ''], Float[Array, '3'], dict[str, Array]]:
        """Compute density (1 / world), sRGB and extras of a Gaussian seen along the unit `viewdir`."""
        x = self._activations(gaussian)
        raw_rgb = self.head(x, encodings.direction(viewdir, self.view_degree))
        return shifted_softplus(self.raw_density(x)[0]), padded_sigmoid(raw_rgb), {}

    def density(self, gaussian: Gaussian) -> Float[Array, '']:
        """Compute density alone, which needs no view direction."""
        return shifted_softplus(self.raw_density(self._activations(gaussian))[0])

    def _activations(self, gaussian: Gaussian) -> Array:
        return self.trunk(encodings.integrated_off_axis(gaussian, 0, self.position_degree))
