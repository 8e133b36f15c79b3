"""Warnings about a scene before training: one sentence for each finding, with its remedy."""

from collections.abc import Iterable

import numpy as np

from nerf.data.inspect.measures import (
    ONE_COLOUR,
    SAME_COLOUR,
    PhotoFacts,
    depths_in_view,
    layout,
    nearest,
    places,
    pose_features,
    to_neighbours,
)
from nerf.data.options import DataOptions
from nerf.data.scene import Scene
from nerf.scene_types import scene_type_of

EXPOSURE_SPREAD = 1.75  # ratio of the 95th to the 5th percentile of brightness
EXPOSURE_ALONE = 2.0  # ratio of brightness of a photo and its neighbours: one stop
BLURRED = 0.35  # sharpness relative to the neighbours'
SAME_VIEW = 2e-3  # of the focus distance, or radians
FAR_FROM_TRAINING = 4.0  # relative to the spacing of the training cameras
POINTS_OUTSIDE = 0.01
EMPTY_BEFORE = 4.0  # depth of the nearest points, relative to near
OFF_CENTRE = 0.25  # of the cameras' distance from the focus point
NO_PARALLAX = 1e-3  # distance of the training cameras from each other, relative to the depth of the points: about 1 px
NO_DISTANCE = 1e-4  # the same without points, world, in which scenes have a size of about 1
SAMPLED_POINTS, SAMPLED_CAMERAS = 2000, 100


def geometry_warnings(scene: Scene, options: DataOptions) -> list[str]:
    """Return the warnings about cameras and points."""
    found = [
        _no_parallax(scene),
        _outside(scene, options),
        _off_centre(scene, options),
        _points_outside(scene),
        _empty_before(scene, options),
        _same_views(scene),
        _far_tests(scene),
    ]
    return [warning for warning in found if warning]


def photo_warnings(scene: Scene, options: DataOptions, facts: PhotoFacts) -> list[str]:
    """Return the warnings about the photos."""
    found = [_background(options, facts), _exposure(scene, facts), *_bright_and_dark(scene, facts), _blur(scene, facts)]
    return [warning for warning in found if warning]


def listed(names: Iterable[str], most: int = 5) -> str:
    """Join names for a sentence: the first few, and how many more."""
    names = list(names)
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(names[:most]) + more


def coordinates(point: np.ndarray) -> str:
    """Format a point [3] for a sentence."""
    return f'({", ".join(f"{x:.2f}" for x in point.round(2) + 0.0)})'  # 0.0: no -0.00


def _named(scene: Scene, is_found: np.ndarray) -> str:
    return listed(scene.names[i] for i in np.flatnonzero(is_found))


def _no_parallax(scene: Scene) -> str | None:
    """Warn of training cameras that stand in one place, as on a tripod: depth follows from what moves between photos."""
    training = scene.indices('train')
    if len(training) == 1:
        return f'{scene.names[training[0]]} is the only training photo: no depth can be learned from one, add others'
    positions = np.asarray(scene.cameras.camera_to_world[training, :, 3], np.float64)
    apart = np.linalg.norm(positions - positions.mean(0), axis=1).max()
    points = scene.points[:: -(-len(scene.points) // SAMPLED_POINTS) or 1]
    seen = [depths_in_view(scene.cameras, i, points) for i in training[:: -(-len(training) // SAMPLED_CAMERAS)]]
    depths = np.concatenate(seen)
    depth = float(np.median(depths)) if len(depths) else NO_DISTANCE / NO_PARALLAX
    if apart > NO_PARALLAX * depth:
        return None
    ratio = f' (within {apart:.1g} of its middle; what they show is {depth:.2g} away)' if len(depths) else ''
    return (
        f'all training photos are taken from one place{ratio}: without different places no depth can be learned, so take '
        'photos from around'
    )


def _outside(scene: Scene, options: DataOptions) -> str | None:
    """Warn of cameras outside the region that the scene type allows."""
    cameras = scene.cameras
    positions = np.asarray(cameras.camera_to_world[:, :, 3], np.float64)
    distance = np.linalg.norm(positions, axis=1)
    scene_type = scene_type_of(options.scene_type)
    if scene_type.contract:
        outside = np.abs(positions).max(1) > 1.001
        sentence = (
            'stand outside of [-1, 1]^3, where unbounded scenes have their detail: scale the poses, or use another scene_type'
        )
    elif scene_type.is_ndc:
        outside = positions[:, 2] <= -1
        sentence = 'stand behind the near plane z = -1 of this forward_facing scene: use scene_type unbounded or object'
    else:
        outside = (distance > cameras.far) | (distance < cameras.near)
        span = f'{np.min(distance, where=outside, initial=np.inf):.3g} to {np.max(distance, where=outside, initial=0):.3g}'
        sentence = (
            f'are {span} away from the origin, which is then not between near and far: '
            'set config.data.near and far around that, or scale the poses'
        )
    return f'{outside.sum()} of {len(scene.names)} cameras ({_named(scene, outside)}) {sentence}' if outside.any() else None


def _off_centre(scene: Scene, options: DataOptions) -> str | None:
    stand = layout(scene.cameras)
    away = np.linalg.norm(stand.focus)
    if not scene_type_of(options.scene_type).has_subject or away <= OFF_CENTRE * stand.distance.mean():
        return None
    where = f'{coordinates(stand.focus)}, {away:.2g} away from the origin'
    return f'the cameras look at {where}, around which an object is expected: move the poses'


def _empty_before(scene: Scene, options: DataOptions) -> str | None:
    """Warn of rays of an unbounded scene that begin far in front of the nearest points, where floaters may form."""
    if not scene_type_of(options.scene_type).contract or not len(scene.points):
        return None
    points = scene.points[:: -(-len(scene.points) // SAMPLED_POINTS)]
    seen = [depths_in_view(scene.cameras, i, points) for i in range(len(scene.names))]
    depths, near = np.concatenate(seen), float(scene.cameras.near.min())
    nearest_depth = float(np.percentile(depths, 0.1)) if len(depths) else 0.0
    if nearest_depth < EMPTY_BEFORE * near:
        return None
    return (
        f'nothing is nearer than {nearest_depth:.2g} by the points, and rays begin at {near:.2g}: '
        f'--config.data.near={nearest_depth / 2:.1g} keeps floaters away from the cameras'
    )


def _points_outside(scene: Scene) -> str | None:
    """Warn of points in view whose depth is not between near and far; with NDC, not between 1 and infinity in the world."""
    if not len(scene.points):
        return None
    cameras, points = scene.cameras, scene.points[:: -(-len(scene.points) // SAMPLED_POINTS)]
    before = behind = total = 0
    for i in range(0, len(scene.names), -(-len(scene.names) // SAMPLED_CAMERAS)):
        depths = depths_in_view(cameras, i, points)
        near, far = (cameras.near[i], cameras.far[i]) if cameras.ndc is None else (1.0, np.inf)
        before, behind, total = before + (depths < near).sum(), behind + (depths > far).sum(), total + len(depths)
    if before + behind <= POINTS_OUTSIDE * total:
        return None
    return (
        f'{before / total:.0%} of the points in view lie before near and {behind / total:.0%} behind far, where no ray '
        'has samples: set config.data.near and far, or another scene_type'
    )


def _same_views(scene: Scene) -> str | None:
    """Warn of photos with the same pose and size: they add no information and, in two splits, leak held-out views."""
    cameras = scene.cameras
    size = np.stack([cameras.width, cameras.height], axis=1) * 10.0  # px: far apart if sizes differ
    distance, other = nearest(np.concatenate([pose_features(cameras), size], axis=1))
    pairs = sorted({tuple(sorted((i, int(other[i])))) for i in np.flatnonzero(distance < SAME_VIEW)})
    if not pairs:
        return None
    names = listed(f'{scene.names[i]} = {scene.names[j]}' for i, j in pairs)
    leaks = sum(scene.split[i] != scene.split[j] for i, j in pairs)
    also = f'; {leaks} of them in different splits, so that results look better than they are' if leaks else ''
    count = '1 pair' if len(pairs) == 1 else f'{len(pairs)} pairs'
    return f'{count} of photos have the same camera pose ({names}){also}: remove one of each'


def _far_tests(scene: Scene) -> str | None:
    positions = np.asarray(scene.cameras.camera_to_world[:, :, 3], np.float64)
    is_training, stand = np.array(scene.split) == 'train', layout(scene.cameras)
    held_out, training = np.flatnonzero(~is_training), places(scene.cameras.at(is_training))
    if len(training) < 3 or not len(held_out):
        return None
    usual = np.median(nearest(training)[0])
    distance = nearest(positions[held_out], training)[0]
    is_far = (distance > FAR_FROM_TRAINING * usual) & (distance > 0.2 * stand.distance[held_out])
    if not is_far.any():
        return None
    names = listed(scene.names[i] for i in held_out[is_far])
    return (
        f'{is_far.sum()} of {len(held_out)} held-out cameras ({names}) are up to {distance[is_far].max():.3g} from every '
        f'training camera, {distance[is_far].max() / usual:.0f} times as far as these are apart: expect poor renders there'
    )


def _background(options: DataOptions, facts: PhotoFacts) -> str | None:
    """Warn of opaque photos whose border is not white, if the scene type expects one object on one colour."""
    opaque = ~facts.has_alpha
    if not scene_type_of(options.scene_type).has_subject or not opaque.any():
        return None
    mixed = opaque & (facts.border < ONE_COLOUR)
    if mixed.sum() > 0.2 * opaque.sum():
        return (
            f'{mixed.sum()} of {len(mixed)} photos have no alpha and no border of one colour, but scene_type is object: '
            'use scene_type unbounded (or forward_facing), or cut the object out'
        )
    colour = np.median(facts.border_colour[opaque & ~mixed], axis=0)
    if colour.min() >= 255 - SAME_COLOUR:
        return None
    is_black = colour.max() <= SAME_COLOUR
    shade = 'black' if is_black else f'rgb({", ".join(f"{value:.0f}" for value in colour)})'
    remedy = 'set config.data.background=black' if is_black else 'cut the object out, so that the colour is not learned'
    return f'{opaque.sum()} of {len(mixed)} photos have no alpha and a border of {shade}, but scene_type is object: {remedy}'


def _exposure(scene: Scene, facts: PhotoFacts) -> str | None:
    low, high = np.percentile(to_neighbours(facts.brightness, scene.cameras), [5, 95])
    if high <= EXPOSURE_SPREAD * low:
        return None
    return (
        f'exposure differs between photos, {high / max(low, 1e-9):.1f} times between the 5th and 95th percentile of their '
        'brightness by that of the photos around them: fix it when taking or developing them, else floaters are learned'
    )


def _bright_and_dark(scene: Scene, facts: PhotoFacts) -> list[str]:
    ratio = to_neighbours(facts.brightness, scene.cameras)
    found = []
    for word, is_odd in (('brighter', ratio > EXPOSURE_ALONE), ('darker', ratio < 1 / EXPOSURE_ALONE)):
        if is_odd.any():
            count = f'{is_odd.sum()} photos are' if is_odd.sum() > 1 else '1 photo is'
            found.append(
                f'{count} more than {EXPOSURE_ALONE:g} times {word} than the photos around ({_named(scene, is_odd)}): '
                'develop anew or remove'
            )
    return found


def _blur(scene: Scene, facts: PhotoFacts) -> str | None:
    sharpness = to_neighbours(facts.sharpness, scene.cameras)
    # The Laplacian scales with brightness, so a dark photo is not taken for a blurred one; 2.2: sRGB's curve, squared.
    light = np.minimum(to_neighbours(facts.brightness, scene.cameras), 1.0) ** (2 / 2.2)
    blurred = sharpness < BLURRED * light
    if not blurred.any():
        return None
    least = (sharpness / light)[blurred].min()
    count = f'{blurred.sum()} photos are' if blurred.sum() > 1 else '1 photo is'
    return f'{count} blurred, down to {least:.0%} of the sharpness around ({_named(scene, blurred)}): remove or take anew'
