"""Reconstruction of a scene from photos or a video, by COLMAP on the CPU.

python -m nerf.data.capture PHOTOS_OR_VIDEO --out=DIR [--max_size=1600] [--frames=120]
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

from nerf.data.capture.images import camera_groups, copy_frames, copy_photos, in_sentence
from nerf.data.capture.photos import LeftOut
from nerf.data.formats.colmap_model import read_model
from nerf.errors import UserError, exit_with_sentence, not_installed
from nerf.host.console import set_up_logging
from nerf.host.files import atomic_folder

FEWEST = 4  # images
# More than MOST_PAIRED images are taken for a sequence: not all pairs are matched, but each image with the NEXT ones and,
# for loop closure, all pairs of every EVERYth image.
MOST_PAIRED, NEXT, EVERY = 200, 10, 5
# One distortion coefficient: a few photos do not determine more of them well.
CAMERA_MODEL = 'SIMPLE_RADIAL'
FATAL = 3  # the only level of COLMAP's log that is shown
ADVICE = 'take sharp photos of something still and textured, each of which shows two thirds of what the one before shows'


def capture(source: str, out: str, max_size: int = 1600, frames: int = 120) -> str:
    """Write the scene of a folder of photos or of a video: `images`, and COLMAP's model of them in `sparse/0`.

    Files are written beside `out` and moved there at the end, so that a failure leaves nothing half written.

    Returns:
        A summary in one line: the number of images with a camera, and the reprojection error.

    Raises:
        UserError: a stage failed; `out` exists and is not an empty folder, or cannot be written.
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
                f'{error.filename or out}: cannot be read or written ({error.strerror or error}); '
                'check your permissions and the space left on the disk'
            ) from error


def import_pycolmap() -> ModuleType:
    """Import pycolmap, with all but fatal errors left out of its log.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pycolmap  # large, and needed for this command alone
    except ImportError:
        raise not_installed('pycolmap', 'which finds the cameras', 'capture') from None
    pycolmap.logging.minloglevel = FATAL
    return pycolmap


def gather(source: str, images: Path, max_size: int, frames: int) -> list[str]:
    """Copy the photos, or frames of the video, to `images` and return their names; say which files are not used, and why.

    Raises:
        UserError: no such file or folder, or too few images.
    """
    left_out = LeftOut()
    if Path(source).is_dir():
        names = copy_photos(source, images, max_size, left_out)
    elif Path(source).is_file():
        names = copy_frames(source, images, frames, max_size)
    else:
        raise UserError(f'{source}: no such file or folder; give a folder of photos or a video file')
    if len(names) < FEWEST:
        raise UserError(
            f'{source}: holds {len(names)} images, expected at least {FEWEST}, better 50{in_sentence(left_out)}; {ADVICE}'
        )
    if str(left_out):
        print(left_out, flush=True)
    return names


def pairs_of(names: Sequence[str], is_sequence: bool) -> list[tuple[str, str]]:
    """List the pairs of images to match: all or, in a sequence, neighbours and candidates for loop closure."""
    return [
        (names[i], names[j])
        for i, j in combinations(range(len(names)), 2)
        if not is_sequence or j - i <= NEXT or i % EVERY == j % EVERY == 0
    ]


def reconstruct(
    pycolmap: ModuleType, images: Path, names: list[str], pairs: list[tuple[str, str]], work: Path, sparse: Path
) -> str:
    """Compute features, matches, cameras and points, write the largest model to `sparse` and return a summary of it.

    Raises:
        UserError: a stage failed.
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
        check_written(sparse)
    found = model.num_reg_images()
    error, points = model.compute_mean_reprojection_error(), model.num_points3D()
    said = f'{found} of {len(names)} images have a camera; {points:,} points, mean reprojection error {error:.2f} px'
    without = sorted(set(names) - {model.image(image_id).name for image_id in model.reg_image_ids()})
    return f'{said}; without a camera: {", ".join(without[:5])}{", ..." if without[5:] else ""}' if without else said


def check_written(sparse: Path) -> None:
    """Refuse a model that cannot be read back: COLMAP does not report a full disk.

    Raises:
        UserError: the model is incomplete.
    """
    try:
        read_model(str(sparse))
    except UserError as error:
        raise UserError(f'mapping: the written model cannot be read ({error}); check the space on the disk') from error


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Turn an exception of pycolmap within the block into a `UserError` that names the stage."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{name}: pycolmap failed ({reason}); check the images, or install another version of it') from error


def find_features(pycolmap: ModuleType, database: Path, images: Path, names: list[str]) -> int:
    """Extract features of all images, with one camera for each of `camera_groups`; return the number of features.

    Raises:
        UserError: there are none.
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
    """Match the features of these pairs, written to the file `listed`; return the number of pairs with verified matches.

    Raises:
        UserError: there are none.
    """
    listed.write_text(''.join(f'{first} {second}\n' for first, second in pairs), encoding='utf-8')
    pycolmap.match_image_pairs(database, pairing_options={'match_list_path': listed}, device=pycolmap.Device.cpu)
    with pycolmap.Database.open(database) as content:
        matched = len(content.read_two_view_geometry_num_inliers()[0])
    if matched == 0:
        raise UserError(f'matching: none of {len(pairs):,} pairs of images show the same things; {ADVICE}')
    return matched


def find_cameras(pycolmap: ModuleType, database: Path, images: Path, models: Path) -> Any:
    """Reconstruct the cameras from these matches; return the largest model, a `pycolmap.Reconstruction`.

    Raises:
        UserError: no model, or one of too few images.
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
    set_up_logging()
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
    print(f'train: python main.py --config=configs/photos.py --data_dir={options.out}')


if __name__ == '__main__':
    main()
