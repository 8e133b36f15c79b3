"""How a scene is to be read, whatever its format."""

import dataclasses
from typing import Any

from nerf.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What the user may ask of a loader.

    Attributes:
        factor: images are made this many times smaller.
        width: or made this wide, px; wins over `factor`.
        near: where rays start, t; None: as the format has it.
        far: where they end, t.
        test_every: keep every Nth test image or, in formats without a test split, test on every Nth image;
            None: 1 and 8.
        scene_type: object, forward_facing or unbounded: decides where the cameras are put, and near and far.
        normalise: False leaves the cameras of photos where their file has them.
        paper_pixels: cast rays through the corners of pixels, as the original NeRF code does.
        paper_alpha: shrink images with straight alpha, as the published multiscale data was made.
        area_weighting: False has all pixels count the same, also those of images that a scene holds at several sizes.
    """

    factor: int = 1
    width: int | None = None
    near: float | None = None
    far: float | None = None
    test_every: int | None = None
    scene_type: str = 'object'
    normalise: bool = True
    paper_pixels: bool = False
    paper_alpha: bool = False
    area_weighting: bool = True

    def __post_init__(self) -> None:
        for name in ('factor', 'width', 'test_every'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f'data option {name}: found {value}, expected at least 1')

    def target_width(self, full_width: int) -> int:
        """Return the target width of an image of `full_width` px, px."""
        return self.width or max(1, round(full_width / self.factor))


def options_of(config: Any) -> DataOptions:
    """Return the data options of a config."""
    names = ('factor', 'width', 'near', 'far', 'normalise', 'paper_pixels', 'paper_alpha', 'area_weighting')
    # Run folders from before an entry existed do not have it.
    chosen = {name: config.data[name] for name in names if name in config.data}
    return DataOptions(test_every=config.test_every, scene_type=config.scene_type, **chosen)
