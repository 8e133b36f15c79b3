"""Published results, with the scenes, sizes and test images that they were measured on."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Published:
    """One row of a paper's table.

    Attributes:
        label: of the row.
        model: which of our models is this method, '' if none is.
        psnr: dB, for each scene or, where a data set is multiscale, each scale; empty if only the mean is known.
        means: over all scenes, by metric.
        steps: of its training, None if not known.
        rays: of each step.
        note: where a rerun is reported, and its circumstances.
    """

    label: str
    model: str
    psnr: tuple[float | None, ...] = ()
    means: Mapping[str, float] = dataclasses.field(default_factory=dict)
    steps: int | None = None
    rays: int | None = None
    note: str = ''


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Scenes that are reported together, and what a number of ours must share with the published ones.

    Attributes:
        title: for people.
        scenes: by the names of their folders.
        widths: of each scene's (widest) test images, px; 0: ours are of several.
        test_images: how many each scene has; 0: ours have several.
        background: white, black or random; None where images have no empty pixels.
        rows: empty where nobody has published anything.
        is_multiscale: whether each view is there at full size and at 1/2, 1/4, ... of it.
        protocol: the same in words.
    """

    title: str
    scenes: tuple[str, ...]
    widths: tuple[int, ...]
    test_images: tuple[int, ...]
    background: str | None = None
    rows: tuple[Published, ...] = ()
    is_multiscale: bool = False
    protocol: str = ''


_OBJECTS = ('chair', 'drums', 'ficus', 'hotdog', 'lego', 'materials', 'mic', 'ship')

BLENDER = Dataset(
    'Blender scenes',
    _OBJECTS,
    (800,) * 8,
    (200,) * 8,
    'white',
    (
        Published(
            'NeRF (paper)',
            'nerf',
            (33.00, 25.01, 30.13, 36.18, 32.54, 29.62, 32.91, 28.65),
            {'psnr': 31.01, 'ssim': 0.947, 'lpips': 0.081},
            500_000,
            1024,
        ),
        Published(
            'NeRF (JaxNeRF)',
            'nerf',
            (34.08, 25.03, 30.43, 36.92, 33.28, 29.91, 34.53, 29.36),
            {'psnr': 31.69},
            1_000_000,
            4096,
        ),
        Published('NeRF (flax_nerf)', 'nerf', (None, None, None, None, 32.29, None, None, None)),
        Published('mip-NeRF (paper)', 'mipnerf', (), {'psnr': 33.09, 'ssim': 0.961, 'lpips': 0.043}, 1_000_000, 4096),
        Published(
            'mip-NeRF (nerf-factory)',
            'mipnerf',
            (35.20, 25.53, 33.23, 37.44, 35.80, 30.58, 36.41, 30.52),
            {'psnr': 33.09},
            note='a rerun: kakaobrain/nerf-factory, mipnerf.md',
        ),
        Published(
            'Instant-NGP on white (nerfacc run)',
            'instant',
            (35.10, 23.85, 30.61, 37.48, 35.87, 29.08, 36.22, 30.62),
            {'psnr': 32.35},
            note='a rerun: nerfacc, ngp.rst; 263 s on a TITAN RTX',
        ),
    ),
    protocol='800 px, 200 test images a scene, over white',
)

BLENDER_MULTISCALE = Dataset(
    'Blender scenes, multiscale',
    _OBJECTS,
    (800,) * 8,
    (800,) * 8,
    'white',
    (
        Published('mip-NeRF (paper)', 'mipnerf', (32.63, 34.34, 35.47, 35.60), steps=1_000_000, rays=4096),
        Published("mip-NeRF (authors' rerun)", 'mipnerf', (32.63, 34.35, 35.51, 35.64), steps=1_000_000, rays=4096),
        Published('NeRF (corner pixels, no area loss)', 'nerf', (31.20, 30.65, 26.25, 22.53)),
        Published('NeRF (centred pixels, area loss)', 'nerf', (29.89, 32.12, 33.40, 29.46)),
    ),
    is_multiscale=True,
    protocol='means of eight scenes; 200 test views a scene at 800, 400, 200 and 100 px, over white',
)

LLFF = Dataset(
    'LLFF scenes',
    ('room', 'fern', 'leaves', 'fortress', 'orchids', 'flower', 'trex', 'horns'),
    (1008,) * 8,
    (6, 3, 4, 6, 4, 5, 7, 8),
    None,
    (
        Published(
            'NeRF (paper)',
            'nerf',
            (32.70, 25.17, 20.92, 31.16, 20.36, 27.40, 26.80, 27.45),
            {'psnr': 26.50},
            200_000,
            4096,
        ),
        Published('NeRF (JaxNeRF)', 'nerf', (33.04, 24.83, 21.23, 31.76, 20.27, 28.07, 27.42, 28.10), {'psnr': 26.84}),
    ),
    protocol='1008 px (factor 4), every 8th image held out',
)

UNBOUNDED = Dataset(
    'mip-NeRF 360 scenes',
    ('bicycle', 'flowers', 'garden', 'stump', 'treehill', 'room', 'counter', 'kitchen', 'bonsai'),
    (1237, 1256, 1297, 1245, 1267, 1557, 1558, 1558, 1559),
    (25, 22, 24, 16, 18, 39, 30, 35, 37),
    None,
    (
        Published(
            'mip-NeRF 360 (paper)',
            'mipnerf360',
            (24.37, 21.73, 26.98, 26.40, 22.87, 31.63, 29.55, 32.23, 33.46),
            {'psnr': 27.69, 'ssim': 0.792, 'lpips': 0.237},
            250_000,
            16384,
        ),
        Published('Zip-NeRF (paper)', '', (25.80, 22.40, 28.20, 27.55, 23.89, 32.65, 29.38, 32.50, 34.46), {'psnr': 28.54}),
    ),
    protocol='images_4 outdoors (about 1250 px) and images_2 indoors (about 1558 px), every 8th image held out',
)
