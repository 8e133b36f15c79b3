"""From photos or a video to a scene with cameras, by COLMAP on the CPU.

python -m nerf.data.capture PHOTOS_OR_VIDEO --out=DIR [--max_size=1600] [--frames=120]
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

from nerf.data.capture.images import camera_groups, copy_frames, copy_photos
from nerf.errors import UserError, exit_with_sentence
from nerf.host.files import atomic_folder

FEWEST = 4  # images
# More images than this are taken for a sequence, in which not every pair is compared, but each image with its NEXT and,
# so that a way around something closes, each EVERYth with each other such one.
MOST_PAIRED, NEXT, EVERY = 200, 10, 5
# One distortion coefficient: more of them are not well determined by a few photos.
CAMERA_MODEL = 'SIMPLE_RADIAL'
FATAL = 3  # the only level of COLMAP's log that is shown
ADVICE = 'take sharp photos of something still and textured, each of which shows two thirds of what the one before shows'


def capture(source: str, out: str, max_size: int = 1600, frames: int = 120) -> str:
    """Write the scene of a folder of photos or of a video: `images`, and COLMAP's model of them in `sparse/0`.

    All is made beside `out` and moved there at the end, so that nothing is ever left half made.

    Returns:
        A line that says how many images have a camera, and how well.

    Raises:
        UserError: the stage that failed, and what to do; `out` exists and is not an empty folder, or cannot be written.
    """
    pycolmap = import_pycolmap()
    with atomic_folder(out) as scene:
        images, sparse = scene / 'images', scene / 'sparse' / '0'
        try:
            images.mkdir()
            sparse.mkdir(parents=True)
            is_video = Path(source).is_file()
            names = gather(source, images, max_size, frames)
            pairs = pairs_of(names, is_sequence=is_video or len(names) > MOST_PAIRED)
            return reconstruct(pycolmap, images, names, pairs, scene.parent, sparse)
        except OSError as error:
            raise UserError(
                f'{error.filename or out}: cannot be read or written ({error.strerror}); check your rights'
            ) from error


def import_pycolmap() -> ModuleType:
    """Import pycolmap with its log switched off.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pycolmap  # large, and needed for this command alone
    except ImportError:
        raise UserError("pycolmap is not installed, which finds the cameras: pip install 'nerf-one-ray[capture]'") from None
    pycolmap.logging.minloglevel = FATAL
    return pycolmap


def gather(source: str, images: Path, max_size: int, frames: int) -> list[str]:
    """Copy the photos, or frames of the video, to `images`; their names.

    Raises:
        UserError: none there, or too few of them.
    """
    if Path(source).is_dir():
        names = copy_photos(source, images, max_size)
    elif Path(source).is_file():
        names = copy_frames(source, images, frames, max_size)
    else:
        raise UserError(f'{source}: no such file or folder; give a folder of photos or a video file')
    if len(names) < FEWEST:
        raise UserError(f'{source}: holds {len(names)} images, expected at least {FEWEST}, better 50; {ADVICE}')
    return names


def pairs_of(names: Sequence[str], is_sequence: bool) -> list[tuple[str, str]]:
    """List the pairs of images to match: all or, in a sequence, neighbours and those that may close a loop."""
    return [
        (names[i], names[j])
        for i, j in combinations(range(len(names)), 2)
        if not is_sequence or j - i <= NEXT or i % EVERY == j % EVERY == 0
    ]


def reconstruct(
    pycolmap: ModuleType, images: Path, names: list[str], pairs: list[tuple[str, str]], work: Path, sparse: Path
) -> str:
    """Features, matches, cameras and points of these images; the largest model goes to `sparse`. A line about it.

    Raises:
        UserError: the stage that failed, and what to do.
    """
    database = work / 'database.db'
    with stage('finding features'):
        features = find_features(pycolmap, database, images, names)
    print(f'{len(names)} images, {features:,} features', flush=True)
    with stage('matching'):
        matched = match(pycolmap, database, pairs, work / 'pairs.txt')
    print(f'{matched:,} of {len(pairs):,} pairs of images show the same things', flush=True)
    with stage('mapping'):
        model = find_cameras(pycolmap, database, images, work / 'models')
        model.write(sparse)
    found = model.num_reg_images()
    error, points = model.compute_mean_reprojection_error(), model.num_points3D()
    said = f'{found} of {len(names)} images have a camera; {points:,} points, mean reprojection error {error:.2f} px'
    without = sorted(set(names) - {model.image(image_id).name for image_id in model.reg_image_ids()})
    return f'{said}; without a camera: {", ".join(without[:5])}{", ..." if without[5:] else ""}' if without else said


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Turn an exception of pycolmap within the block into a sentence that names the stage."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{name}: pycolmap failed ({reason}); check the images, or install another version of it') from error


def find_features(pycolmap: ModuleType, database: Path, images: Path, names: list[str]) -> int:
    """Features of all images, with one camera for each group that seems to share one; how many there are.

    Raises:
        UserError: none.
    """
    for group in camera_groups(images, names):
        pycolmap.extract_features(
            database,
            images,
            image_names=group,
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options={'camera_model': CAMERA_MODEL},
            device=pycolmap.Device.cpu,
        )
    with pycolmap.Database.open(database) as content:
        count = content.num_keypoints()
    if count == 0:
        raise UserError(f'finding features: found none in {len(names)} images; {ADVICE}')
    return count


def match(pycolmap: ModuleType, database: Path, pairs: list[tuple[str, str]], listed: Path) -> int:
    """Match the features of these pairs, which go to the file `listed`; how many show the same things.

    Raises:
        UserError: none does.
    """
    listed.write_text(''.join(f'{first} {second}\n' for first, second in pairs), encoding='utf-8')
    pycolmap.match_image_pairs(database, pairing_options={'match_list_path': listed}, device=pycolmap.Device.cpu)
    with pycolmap.Database.open(database) as content:
        matched = len(content.read_two_view_geometry_num_inliers()[0])
    if matched == 0:
        raise UserError(f'matching: none of {len(pairs):,} pairs of images show the same things; {ADVICE}')
    return matched


def find_cameras(pycolmap: ModuleType, database: Path, images: Path, models: Path) -> Any:
    """Reconstruct the cameras from these matches: the largest model, a `pycolmap.Reconstruction`.

    Raises:
        UserError: none, or of too few images.
    """
    models.mkdir()
    found = pycolmap.incremental_mapping(database, images, models).values()
    model = max(found, key=lambda model: model.num_reg_images(), default=None)
    size = 0 if model is None else model.num_reg_images()
    if size < FEWEST:
        raise UserError(f'mapping: found cameras for {size} images that fit together, expected at least {FEWEST}; {ADVICE}')
    return model


@exit_with_sentence
def main(args: Sequence[str] | None = None) -> None:
    """Run the command: make a scene of photos or a video in --out."""
    parser = argparse.ArgumentParser(
        prog='python -m nerf.data.capture', description='Find the cameras of photos or of a video.'
    )
    parser.add_argument('source', metavar='PHOTOS_OR_VIDEO', help='a folder of photos, or a video file')
    parser.add_argument('--out', required=True, help='folder to write, new or empty')
    parser.add_argument('--max_size', type=int, default=1600, help='longer side of the images at most, px')
    parser.add_argument('--frames', type=int, default=120, help='how many frames of a video are taken')
    options = parser.parse_args(args)
    for name in ('max_size', 'frames'):
        if getattr(options, name) < 1:
            raise UserError(f'--{name}={getattr(options, name)}: expected at least 1')
    print(capture(options.source, options.out, options.max_size, options.frames))
    print(f'train: python main.py --config=configs/instant_360.py --data_dir={options.out}')


if __name__ == '__main__':
    main()
