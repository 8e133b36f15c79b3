"""Options for reading a scene of any format."""

import dataclasses
from typing import Any

from nerf.errors import UserError


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Options of a loader.

    Attributes:
        factor: downsampling factor of the images.
        width: or the width of the downsampled images, px; takes precedence over `factor`.
        near: near bound of all rays, t; None: by the format and the scene type.
        far: far bound of all rays, t; None: likewise.
        test_every: keep every Nth test image or, in formats without a test split, hold out every Nth image;
            None: 1 and 8.
        scene_type: object, forward_facing or unbounded: determines the frame of the cameras, near and far.
        normalise: False keeps the cameras of photos in the frame of their file, moved to the origin only from afar.
        paper_pixels: cast rays through the corners of pixels, as the original NeRF code does.
        paper_alpha: downsample images with straight alpha, as the published multiscale data was made.
        area_weighting: False gives all pixels the same weight, also in scenes that hold each view at several sizes.
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
        """Return the width, px, to which an image of width `full_width` px is downsampled."""
        return self.width or max(1, round(full_width / self.factor))


def options_of(config: Any) -> DataOptions:
    """Return the data options of a config."""
    names = ('factor', 'width', 'near', 'far', 'normalise', 'paper_pixels', 'paper_alpha', 'area_weighting')
    # Configs of older run folders may lack newer entries.
    chosen = {name: config.data[name] for name in names if name in config.data}
    return DataOptions(test_every=config.test_every, scene_type=config.scene_type, **chosen)
