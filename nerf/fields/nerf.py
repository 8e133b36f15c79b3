"""NeRF's field of one point."""

from flax import linen as nn
from jaxtyping import Array, Float

from nerf.fields.layers import Dense, Head, Trunk
from nerf.ray import encodings
from nerf.ray.structs import Scalar

ACTIVATIONS = {'relu': nn.relu, 'softplus': nn.softplus}  # of density


class NeRFField(nn.Module):
    """NeRF's field of one point (figure 7 of the paper).

    Attributes:
        depth, width: of the trunk.
        view_width: of the layer that the view direction joins.
        use_viewdirs: whether colour depends on the view direction.
        position_degree, view_degree: numbers of frequencies L of the positional encodings.
        density_activation: 'relu' (the paper's; can die and leave an all-white picture) or 'softplus'.
        compute_dtype: see `nerf.fields.layers.Dense`.
    """

    depth: int
    width: int
    view_width: int
    use_viewdirs: bool
    position_degree: int
    view_degree: int
    density_activation: str
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
        self, point: Float[Array, '3'], viewdir: Float[Array, '3'], noise: Scalar = 0.0
    ) -> tuple[Float[Array, ''], Float[Array, '3'], dict[str, Array]]:
        """Compute density (1 / world), sRGB and extras of a point seen along `viewdir`; `noise` is added to raw density."""
        x = self._activations(point)
        raw_rgb = self.head(x, encodings.direction(viewdir, self.view_degree))
        return self._density(x, noise), nn.sigmoid(raw_rgb), {}

    def density(self, point: Float[Array, '3']) -> Float[Array, '']:
        """Compute density alone, which needs no view direction."""
        return self._density(self._activations(point), 0.0)

    def _activations(self, point: Array) -> Array:
        return self.trunk(encodings.positional(point, 0, self.position_degree, identity=True))

    def _density(self, x: Array, noise: Array | float) -> Array:
        return ACTIVATIONS[self.density_activation](self.raw_density(x)[0] + noise)
