"""Text report of a scene before training: one page, or the few lines that training logs."""

import dataclasses
import os
from typing import NamedTuple

import jax
import numpy as np

from nerf.data.formats import BUILT_IN, FORMATS
from nerf.data.image_kinds import is_image
from nerf.data.inspect.checks import coordinates, geometry_warnings, listed
from nerf.data.inspect.measures import PhotoFacts, layout
from nerf.data.options import DataOptions
from nerf.data.scene import SPLITS, Scene
from nerf.lifting import over_rays
from nerf.ray.cameras import cast
from nerf.ray.lenses import distort

# Source of near and far unless set; for other formats see `_range_source`.
RANGE_OF_FORMAT = {
    BUILT_IN: 'of the built-in scene',
    'blender': 'fixed by the format',
    'tiny_nerf': 'fixed by the format',
    'multiscale_blender': 'from metadata.json',
    'deepvoxels': 'by where the cameras stand',
}
# Words in the names of image files that are no photos, or of their folders.
BESIDE_IMAGES = ('depth', 'normal', 'mask', 'alpha', 'disp')
WARNINGS_AT_START = 2
ALL_AROUND = 45  # degrees: the widest gap of cameras that stand all around


class Source(NamedTuple):
    """Source of a scene: format, folder (or file; '' for the built-in scene) and options."""

    format: str
    folder: str
    options: DataOptions


def page(scene: Scene, source: Source, facts: PhotoFacts, warnings: list[str]) -> str:
    """Return the whole page: lines of `name  value`, then the warnings."""
    rows = [
        ('scene', f'{source.folder or "built in"} ({source.format}, scene_type {source.options.scene_type})'),
        ('photos', f'{_counts(scene)}; {how_split(scene)}'),
        ('size', f'{_sizes(scene)}; {_share(facts.has_alpha)} with alpha'),
        *([('weights', f'of pixels in the loss {_span(scene.weights)}')] if np.ptp(scene.weights) else []),
        *([('masks', _masked(scene))] if scene.used is not None else []),
        ('lens', f'{_focal(scene)}; {lens_model(scene)}'),
        ('near, far', _range(scene, source)),
        *(('cameras' if i == 0 else '', line) for i, line in enumerate(_layout_lines(scene))),
        ('points', _points(scene)),
    ]
    lines = [f'{name:<11}{value}' for name, value in rows]
    if not warnings:
        return '\n'.join([*lines, 'No warnings.'])
    return '\n'.join([*lines, '', f'{len(warnings)} warning{"s" * (len(warnings) > 1)}:', *(f'- {each}' for each in warnings)])


def short_form(scene: Scene, source: Source) -> list[str]:
    """Return the first lines of a training log: two about the scene, and the first warnings about cameras and points.

    Warnings about photos are left out, so that no pixels are read.
    """
    warnings = geometry_warnings(scene, source.options)
    folder, scene_type = source.folder, source.options.scene_type
    inspect = f'python -m nerf.data.inspect {folder} --scene_type={scene_type}'
    lines = [
        f'scene {folder or "built in"} ({source.format}, {scene_type}): {_counts(scene)}, {_sizes(scene)}',
        f'near, far {_range(scene, source)}; cameras {_stand(scene)}',
        *([f'masks: {_masked(scene)}; these are not trained on'] if scene.used is not None else []),
        *(f'warning: {each}' for each in warnings[:WARNINGS_AT_START]),
    ]
    if len(warnings) > WARNINGS_AT_START:
        lines[-1] += f' (and {len(warnings) - WARNINGS_AT_START} more: {inspect})'
    return lines


def how_split(scene: Scene) -> str:
    """Describe the splits: every Nth photo is held out, or they follow no such rule and so are given by the files."""
    held_out = scene.indices('test')
    if not len(held_out):
        return 'none held out, so there will be no metrics'
    every = int(held_out[1]) if len(held_out) > 1 else len(scene.names)
    is_rule = all((split == 'test') == (i % every == 0) for i, split in enumerate(scene.split))
    return f'every {_ordinal(every)} is held out, by the order of names' if is_rule else 'splits as the scene has them'


def unused_images(source: Source) -> list[str]:
    """List image files in the folders of the scene's images that it does not use, such as photos without a pose, sorted paths.

    Files that are depth maps, masks and the like by their names are left out.
    """
    all_of_it = dataclasses.replace(source.options, test_every=None)
    used = {os.path.abspath(path) for path in FORMATS[source.format].sources(source.folder, all_of_it)}
    folders = {os.path.dirname(path) for path in used if is_image(os.path.basename(path))}
    found = {entry.path for folder in folders for entry in os.scandir(folder) if is_image(entry.name)}
    names = {path: os.path.relpath(path, source.folder).lower() for path in found - used}
    return sorted(path for path, name in names.items() if not any(word in name for word in BESIDE_IMAGES))


def file_warnings(source: Source) -> list[str]:
    """Return the warnings about the files in the scene's folder."""
    unused = unused_images(source)
    if not unused:
        return []
    count = '1 image file is' if len(unused) == 1 else f'{len(unused)} image files are'
    names = listed(os.path.basename(path) for path in unused)
    return [f'{count} not used, without a pose or marked is_bad ({names}): align them too, or ignore this']


def lens_model(scene: Scene) -> str:
    """Describe the lens: pinhole, or its distortion by the shift of the first corner of the image."""
    cameras, lens = scene.cameras, scene.cameras.lens
    if lens is None:
        return 'pinhole'
    width, height = cameras.width.astype(np.float32), cameras.height.astype(np.float32)
    is_fisheye = np.asarray(lens.is_fisheye) > 0
    corner = -cameras.camera_to_pixel[:, :2, 2] / cameras.camera_to_pixel[:, [0, 1], [0, 1]]
    straight = np.concatenate([corner, np.ones((len(corner), 1))], axis=1).astype(np.float32)
    bent = np.asarray(over_rays(distort)(lens, straight))
    moved = np.linalg.norm((bent - corner) * cameras.camera_to_pixel[:, [0, 1], [0, 1]], axis=1)
    share = moved / np.hypot(width, height)
    kind = 'fisheye' if is_fisheye.all() else 'OpenCV distortion' if not is_fisheye.any() else 'fisheye and OpenCV distortion'
    return f'{kind}, moves the corner by {_span(moved, 2)} px ({share.max():.1%} of the diagonal)'


def angles_of_view(scene: Scene) -> np.ndarray:
    """Compute the horizontal and vertical angle of view of each photo, through the principal point, [k, 2], degrees."""
    cameras = scene.cameras.replace(ndc=None)
    size = np.stack([cameras.width, cameras.height], axis=1).astype(np.float32)
    axis = -cameras.camera_to_world[:, :, 2]
    angles = []
    for i in range(2):
        ends = []
        for end in (0.0, 1.0):
            xy = cameras.camera_to_pixel[:, :2, 2].copy()
            xy[:, i] = end * size[:, i]
            viewdir = np.asarray(_viewdirs(cameras, xy))
            ends.append(np.arccos(np.clip((viewdir * axis).sum(1), -1, 1)))
        angles.append(np.degrees(sum(ends)))
    return np.stack(angles, axis=1)


_viewdirs = jax.jit(over_rays(lambda camera, xy: cast(camera, xy).viewdir))


def _counts(scene: Scene) -> str:
    counts = [f'{len(scene.indices(split))} {split}' for split in SPLITS if len(scene.indices(split))]
    return f'{", ".join(counts)} photos'


def _sizes(scene: Scene) -> str:
    sizes = sorted({(int(w), int(h)) for w, h in zip(scene.cameras.width, scene.cameras.height, strict=True)})
    low, high = sizes[0], sizes[-1]
    if len(sizes) == 1:
        return f'{low[0]} x {low[1]} px'
    return f'{low[0]} x {low[1]} .. {high[0]} x {high[1]} px, {len(sizes)} sizes'


def _masked(scene: Scene) -> str:
    shares = np.array([1 - scene.mask(i).mean() for i in range(len(scene.names))])
    return f'{1 - scene.used.mean():.1%} of all pixels are masked, in {(shares > 0).sum()} of {len(shares)} photos'


def _focal(scene: Scene) -> str:
    lens = np.asarray(scene.cameras.camera_to_pixel, np.float64)
    size = np.stack([scene.cameras.width, scene.cameras.height], axis=1)
    focal, angles = lens[:, [0, 1], [0, 1]], angles_of_view(scene)
    offset = np.abs(lens[:, :2, 2] - size / 2).max(0)
    centre = 'in the centre' if offset.max() < 0.05 else f'up to ({offset[0]:.1f}, {offset[1]:.1f}) px off the centre'
    both = (
        _span(focal[:, 0])
        if np.allclose(focal[:, 0], focal[:, 1], rtol=5e-3)
        else f'{_span(focal[:, 0])}, {_span(focal[:, 1])}'
    )
    return f'focal length {both} px, view {_span(angles[:, 0], 3)} x {_span(angles[:, 1], 3)} degrees; principal point {centre}'


def _range(scene: Scene, source: Source) -> str:
    return f'{_span(scene.cameras.near)} .. {_span(scene.cameras.far)} ({_range_source(scene, source)})'


def _range_source(scene: Scene, source: Source) -> str:
    options, format = source.options, source.format
    if options.near is not None and options.far is not None:
        return 'asked for'
    if format in RANGE_OF_FORMAT:
        found = RANGE_OF_FORMAT[format]
    elif scene.cameras.ndc is not None:
        found = 'normalised device coordinates: from the near plane to infinity'
    elif format == 'llff':
        found = 'bounds of poses_bounds.npy'
    else:
        found = 'by the points' if len(scene.points) else 'by where the cameras stand'
    asked = [name for name in ('near', 'far') if getattr(options, name) is not None]
    return f'{asked[0]} asked for, else {found}' if asked else found


def _layout_lines(scene: Scene) -> list[str]:
    stand = layout(scene.cameras)
    if len(stand.next_place) == 1:
        return [f'all in one place, {coordinates(np.asarray(scene.cameras.camera_to_world[0, :, 3], np.float64))}']
    between = f'{stand.next_place.mean():.3g} to the next one on average'
    if scene.cameras.ndc is not None:
        poses = np.asarray(scene.cameras.camera_to_world, np.float64)
        off = np.degrees(np.arccos(np.clip(poses[:, 2, 2], -1, 1)))
        spread = ' x '.join(f'{x:.2g}' for x in np.ptp(poses[:, :, 3], axis=0))
        return [
            f'within {spread} (x, y, z), {between}',
            f'they look up to {off.max():.0f} degrees off -z, at {coordinates(stand.focus)}',
        ]
    around = 'all around' if stand.gap < ALL_AROUND else f'{360 - stand.gap:.0f} of 360 degrees around'
    return [
        f'{_span(stand.distance)} from what they look at, {coordinates(stand.focus)}',
        f'elevation {stand.elevation.min():.0f} .. {stand.elevation.max():.0f} degrees, {around}, {between}',
    ]


def _stand(scene: Scene) -> str:
    stand = layout(scene.cameras)
    return f'{_span(stand.distance)} from what they look at' if len(stand.next_place) > 1 else 'all in one place'


def _points(scene: Scene) -> str:
    if not len(scene.points):
        return 'none'
    low, high = np.percentile(scene.points, [1, 99], axis=0)
    box = ', '.join(f'{a:.2f} .. {b:.2f}' for a, b in zip(low, high, strict=True))
    return f'{len(scene.points)}; 98 % of them in each axis in {box}'


def _span(values: np.ndarray, digits: int = 4) -> str:
    """Format the range of the values, or one value if they are about the same."""
    low, high = float(np.min(values)), float(np.max(values))
    same = high - low <= 1e-3 * abs(high)
    return f'{low:.{digits}g}' if same else f'{low:.{digits}g} to {high:.{digits}g}'


def _share(flags: np.ndarray) -> str:
    return 'all' if flags.all() else 'none' if not flags.any() else f'{flags.sum()} of {len(flags)}'


def _ordinal(number: int) -> str:
    ending = 'th' if number % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')
    return f'{number}{ending}'
