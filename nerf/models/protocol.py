"""The protocols of models and fields, as types: see `nerf.models.contract` to check a class of your own."""

import dataclasses
from typing import ClassVar, Protocol

from flax import linen as nn
from jaxtyping import Array, Float, Key

from nerf.ray.photos import Photo
from nerf.ray.structs import Gaussian, Level, Ray, Scalar

Sample = Float[Array, '3'] | Gaussian


@dataclasses.dataclass(frozen=True)
class LevelInfo:
    """One level as a model declares it.

    Attributes:
        name: such as coarse, fine or proposal.
        count: the model's field that holds the number of samples which this level adds.
        has_colour: False for a proposal, whose `rgb` is zeros.
    """

    name: str
    count: str
    has_colour: bool = True


class Model(Protocol):
    """A Linen module for ONE ray, whose constructor's fields are the entries of `config.model`, all with defaults.

    What it keeps without training lies in the Linen collection `state`; such a model also has `update_state(key, progress)`,
    which changes it after each step, from parameters, key and progress alone, so that all devices do the same.

    Attributes:
        LEVELS: its levels, in the order of its result.
        END_SWITCHES: its boolean fields that let all remaining light stop in the last interval; all are set to False where
            only a part of a ray is rendered, behind which the ray goes on.
        spacing: of the first level's samples, see `nerf.ray.spacing`.
        compute_dtype: of the products in Dense layers, 'float32' or 'bfloat16'.
    """

    LEVELS: ClassVar[tuple[LevelInfo, ...]]
    END_SWITCHES: ClassVar[tuple[str, ...]]
    spacing: str
    compute_dtype: str

    def __call__(
        self,
        ray: Ray,
        key: Key[Array, ''] | None = None,
        progress: Scalar = 1.0,
        photo: Photo | None = None,
    ) -> list[Level]:
        """Evaluate the field along one ray, level by level.

        Args:
            ray: one ray; a batch is refused with `expect_one_ray`.
            key: of this ray's randomness; None: deterministic.
            progress: share of training done, in [0, 1].
            photo: numbers of the ray's own photo by name; None, for a view that is no photo, changes nothing.

        Raises:
            ValueError: if given a batch of rays.
        """

    def density(self, point: Float[Array, '3'], width: Scalar) -> Float[Array, '']:
        """Compute density (1 / world) around a point, averaged over about a cube of this width where the model can."""


class Field(Protocol):
    """A Linen module for ONE sample of a ray: a point [3] or a Gaussian, in the space that the model chose."""

    def __call__(
        self, sample: Sample, viewdir: Float[Array, '3']
    ) -> tuple[Float[Array, ''], Float[Array, '3'], dict[str, Array]]:
        """Compute density (1 / world), sRGB, and extras by name ([] or [k] each), seen along the unit `viewdir`."""

    def density(self, sample: Sample) -> Float[Array, '']:
        """Compute density (1 / world) alone, which needs no view direction."""


def crop_to_interval(model: nn.Module, share: float) -> nn.Module:
    """Return the model for an interval of the ray outside of which space is empty: the same parameters, fewer samples.

    Each level takes `share` of its samples, and light may pass the interval's end.
    """
    counts = {level.count for level in model.LEVELS}
    return model.clone(
        **{count: max(1, round(share * getattr(model, count))) for count in counts},
        **dict.fromkeys(model.END_SWITCHES, False),
    )
