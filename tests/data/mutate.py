"""Scenes of every format, damaged at random: each must be refused in one sentence or load as a scene that can be trained on.

python tests/data/mutate.py [--format=NAME] [--count=300] [--start=0] [--only=N]

`test_mutations.py` tries a few of them; this command tries many, and lets them take 2 GiB of memory at most.
"""

import argparse
import dataclasses
import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import numpy as np
from built_in_written import (
    Truth,
    cameras_of,
    write_blender,
    write_colmap_scene,
    write_multiscale,
    write_tiny_nerf,
    write_transforms_scene,
)
from mutations import mutate
from PIL import Image
from time_limits import Hang, time_limit
from written import write_deepvoxels, write_llff

from nerf.data import formats
from nerf.data.options import DataOptions
from nerf.data.scene import SPLITS, Scene
from nerf.errors import UserError

SECONDS = 20  # for one scene; usual are 0.05
MEMORY = 2**31
LONGEST = 800  # characters of a sentence
LENS = {'k1': -0.1, 'k2': 0.02, 'p1': 0.003, 'p2': -0.002}
SPLIT = ('train', 'train', 'train', 'val', 'test')


@dataclasses.dataclass(frozen=True)
class Case:
    """One damaged scene: its format, where it lies, how it is read, what was done to it, and which of its files were."""

    format: str
    folder: str
    options: DataOptions
    done: str
    names: set[str]


def _truth(square=False, bent=False, front=False):
    """A scene whose images are noise."""
    size = (32, 32) if square else (32, 24)
    lens = np.pad(list(LENS.values()), (0, 4)) if bent else None
    cameras = cameras_of((40.0, 38.0 if bent else 40.0), np.array(size) / 2, size, lens=lens)
    if front:
        pose = np.tile(cameras.camera_to_world[1], (5, 1, 1))
        pose[:, :, 3] += np.random.default_rng(2).normal(0, 0.2, (5, 3))
        cameras = cameras.replace(camera_to_world=pose.astype(np.float32))
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (*size[::-1], 4), dtype=np.uint8) for _ in SPLIT]
    return Truth(cameras, images, SPLIT, rng.normal(0, 0.3, (12, 3)))


def _write_split_transforms(folder):
    write_transforms_scene(folder, _truth())
    content = json.loads((folder / 'transforms.json').read_text())
    for split, frames in (('train', content['frames'][:4]), ('test', content['frames'][4:])):
        (folder / f'transforms_{split}.json').write_text(json.dumps({**content, 'frames': frames}))
    (folder / 'transforms.json').unlink()


def _write_multiscale(folder):
    write_multiscale(folder, _truth())
    shutil.rmtree(folder / 'blender')
    shutil.copytree(folder / 'multiscale', folder, dirs_exist_ok=True)
    shutil.rmtree(folder / 'multiscale')


def _write_masked(folder):
    write_colmap_scene(folder, _truth(bent=True), model='OPENCV')
    rng = np.random.default_rng(3)
    (folder / 'masks').mkdir()
    for path in (folder / 'images').iterdir():
        Image.fromarray(rng.choice(np.array([0, 255], np.uint8), (24, 32))).save(folder / 'masks' / f'{path.name}.png')


FORMATS = {
    'blender': lambda folder: write_blender(folder, _truth()),
    'tiny_nerf': lambda folder: write_tiny_nerf(folder, _truth()),
    'multiscale_blender': _write_multiscale,
    'transforms': lambda folder: write_transforms_scene(folder, _truth(bent=True), camera_model='OPENCV', **LENS),
    'transforms, split': _write_split_transforms,
    'deepvoxels': lambda folder: write_deepvoxels(folder, _truth(square=True).scene, lens_size=(64, 48)),
    'colmap': lambda folder: write_colmap_scene(folder, _truth(bent=True), model='OPENCV'),
    'colmap, masks': _write_masked,
    'colmap, text': lambda folder: write_colmap_scene(folder, _truth(bent=True), '.txt', 'OPENCV'),
    'llff': lambda folder: write_llff(folder, _truth(front=True).scene),
}


def cases(format: str, numbers: range, work: Path) -> Iterator[Case]:
    """Scenes of a format, each damaged by its number, one at a time."""
    whole, damaged = work / 'whole', work / 'scene'
    whole.mkdir()
    FORMATS[format](whole)
    for number in numbers:
        rng = np.random.default_rng([sorted(FORMATS).index(format), number])
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(whole, damaged)
        names, done = mutate(damaged, rng)
        yield Case(format, str(damaged), options_for(format, rng), done, names)


def options_for(format: str, rng: np.random.Generator) -> DataOptions:
    """One of the ways in which a scene may be read."""
    kind = {'llff': 'forward_facing'}.get(format, 'object')
    scene_type = kind if rng.random() < 0.6 else ('object', 'unbounded', 'forward_facing')[rng.integers(3)]
    width = 16 if rng.random() < 0.2 and format != 'multiscale_blender' else None
    return DataOptions(scene_type=scene_type, normalise=bool(rng.random() < 0.7), width=width)


def outcome(case: Case) -> str:
    """'refused' or 'valid'; as the program does, the format is recognised or, in case of a folder that is none, given.

    Raises:
        AssertionError: the scene is neither refused as it should be nor valid.
        Hang: that took too long.
        Exception: what a loader lets out.
    """
    name = case.format.partition(',')[0]
    with time_limit(SECONDS), warnings.catch_warnings():
        warnings.simplefilter('error', RuntimeWarning)  # which a user would see
        for format in (None, name):
            try:
                scene = formats.load_scene(format, case.folder, '', case.options)
                formats.fingerprint(*formats.resolve_source(format, case.folder, ''), case.options)
            except UserError as error:
                expect_sentence(str(error), case)
            else:
                expect_valid(scene)
                expect_untouched(scene, case)
                return 'valid'
    return 'refused'


def expect_sentence(message: str, case: Case) -> None:
    """One line, not endless, that names the folder, a file in it or an option."""
    assert '\n' not in message, 'more than one line'
    assert message.isprintable(), 'characters that cannot be printed'
    assert 20 < len(message) < LONGEST, f'{len(message)} characters'
    named = case.folder in message or 'scene_type' in message or 'option' in message or 'camera of' in message
    assert named, f'no file or option is named: {message}'


def expect_valid(scene: Scene) -> None:
    """What training takes for granted: images and cameras that fit, and rays that are finite, with no doubt left."""
    cameras, count = scene.cameras, len(scene.names)
    assert count == len(set(scene.names)) == len(scene.split) == len(cameras.width) == len(scene.weights)
    assert set(scene.split) <= set(SPLITS)
    assert 'train' in scene.split
    assert scene.pixels.shape == (int(scene.offsets[-1]), 4)
    assert scene.pixels.dtype == np.uint8
    assert np.isfinite(scene.weights).all()
    assert scene.weights.min() > 0
    assert np.isfinite(scene.points).all()
    if scene.used is not None:
        assert (scene.used.shape, scene.used.dtype) == (scene.pixels.shape[:1], bool)
        assert all(scene.mask(i).any() for i in range(count))
    assert (cameras.near >= 0).all()
    assert (cameras.near < cameras.far).all()
    assert np.isfinite(cameras.far).all()
    rotation = cameras.camera_to_world[:, :, :3]
    np.testing.assert_allclose(rotation.transpose(0, 2, 1) @ rotation, np.tile(np.eye(3), (count, 1, 1)), atol=2e-3)
    assert np.linalg.det(rotation).min() > 0
    lens = cameras.camera_to_pixel
    assert lens[:, [0, 1], [0, 1]].min() > 0
    with np.errstate(all='ignore'):
        for corner in np.ndindex(2, 2):
            xy = np.stack([cameras.width, cameras.height], axis=1).astype(np.float32) * np.float32(corner)
            ray = np.append((xy - lens[:, :2, 2]) / lens[:, [0, 1], [0, 1]], np.ones((count, 1), np.float32), axis=1)
            length = np.sqrt((ray**2).sum(axis=1))
            assert np.isfinite(length).all(), 'rays are not finite'
        assert np.isfinite((cameras.camera_to_world[:, :, 3] ** 2).sum(axis=1)).all(), 'positions are not finite'
        assert np.isfinite(cameras.far * length).all(), 'distances are not finite'


def expect_untouched(scene: Scene, case: Case) -> None:
    """What the damaged files do not say is as it was: images' pixels, by name, or poses where only images were damaged."""
    if case.format == 'tiny_nerf':  # one file says all
        return
    try:
        whole = formats.load_scene(case.format.partition(',')[0], str(Path(case.folder).parent / 'whole'), '', case.options)
    except UserError:  # it is no scene of this type, which with less in it it is
        return
    # Which split a photo is of depends on how many there are.
    name = Scene.stem if case.format.startswith(('transforms', 'colmap', 'llff')) else lambda scene, i: scene.names[i]
    before = {name(whole, i): i for i in range(len(whole.names))}
    has_image = any(each.endswith('.png') for each in case.names)
    only_images = all(each.endswith('.png') for each in case.names) and 'swapped' not in case.done
    for i in range(len(scene.names)):
        j = before.get(name(scene, i))
        if j is None:
            continue
        if not has_image and whole.image(j).shape == scene.image(i).shape:
            assert (whole.image(j) == scene.image(i)).all(), f'pixels of {scene.names[i]} are others'
        if only_images and not case.options.normalise:
            moved = np.abs(whole.cameras.camera_to_world[j] - scene.cameras.camera_to_world[i]).max()
            assert moved < 1e-6, f'{scene.names[i]} is elsewhere'


def try_format(format: str, numbers: range) -> tuple[Counter, list[str]]:
    """How many scenes were refused and how many are valid, and a report of each failure."""
    counts, failures = Counter(), []
    with tempfile.TemporaryDirectory(prefix='mutations-') as work:
        for number, case in zip(numbers, cases(format, numbers, Path(work)), strict=True):
            try:
                counts[outcome(case)] += 1
            except (Exception, Hang) as error:
                counts['failed'] += 1
                where = traceback.extract_tb(error.__traceback__)[-1]
                said = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
                failures.append(
                    f'{format} {number} ({case.done}; {case.options.scene_type}): {said} [{where.name}:{where.lineno}]'
                )
    return counts, failures


def limit_memory() -> None:
    """What is in use now, and MEMORY more."""
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--format', choices=FORMATS, action='append', help='only this one; may be repeated')
    parser.add_argument('--count', type=int, default=300, help='damaged scenes of each format')
    parser.add_argument('--start', type=int, default=0, help='the number of the first; others are damaged in other ways')
    parser.add_argument('--only', type=int, help='only the scene of this number')
    options = parser.parse_args()
    numbers = (
        range(options.start, options.start + options.count) if options.only is None else range(options.only, options.only + 1)
    )
    for format in FORMATS:  # all that is compiled and imported
        try_format(format, range(1))
    limit_memory()
    failed = []
    for format in options.format or FORMATS:
        counts, failures = try_format(format, numbers)
        print(f'{format}: {counts["refused"]} refused, {counts["valid"]} valid, {counts["failed"]} failed', flush=True)
        print('\n'.join(failures), flush=True)
        failed += failures
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f'{len(failed)} failures, {peak:.2f} GiB of memory at most')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main()
