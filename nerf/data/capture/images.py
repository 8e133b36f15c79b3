"""Input images of a reconstruction: photos, upright and limited in size, or the sharpest frames of a video."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Otherwise ffmpeg is started by a fork, which may deadlock with JAX's threads.
os.environ.setdefault('IMAGEIO_FFMPEG_NO_PREVENT_SIGINT', '1')

import imageio.v3 as imageio
import numpy as np
from PIL import Image, ImageOps

from nerf.data.formats.photos import ENDINGS, list_images
from nerf.data.images import read_image
from nerf.errors import UserError

KEPT_ENDINGS = ('.jpg', '.jpeg', '.png')
JPEG_QUALITY = 95
# ffmpeg's option to output each frame of a video once, where it would repeat frames to fill a constant rate.
EACH_ONCE = ('-fps_mode', 'passthrough')
# EXIF tags: orientation, pointer to the camera settings, and the focal lengths in these.
ORIENTATION, LENS_SETTINGS, FOCAL_LENGTHS = 0x0112, 0x8769, (0x920A, 0xA405)


def copy_photos(source: str, folder: Path, max_size: int) -> list[str]:
    """Copy the photos in `source` to `folder`, upright (by EXIF orientation) and at most `max_size` px on the longer side.

    Returns:
        Their new names, in the order of the old ones.

    Raises:
        UserError: no photos, two that would get the same name, or one that cannot be read.
    """
    names = list_images(source)
    if not names:
        raise UserError(f'{source}: found no photos, expected files that end with {", ".join(ENDINGS)}; convert others to JPEG')
    stems = [stem_of(name) for name in names]
    twice = next((name for name, stem in zip(names, stems, strict=True) if stems.count(stem) > 1), None)
    if twice is not None:
        raise UserError(f'{source}: several photos would be called {stem_of(twice)!r} in the scene; rename all but one')
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda name: copy_photo(os.path.join(source, name), folder, max_size), names))


def stem_of(name: str) -> str:
    """Return a photo's name in the scene, without ending or spaces and the like, which COLMAP's lists of pairs do not allow."""
    return re.sub(r'[^\w.-]', '_', os.path.splitext(name)[0])


def copy_photo(path: str, folder: Path, max_size: int) -> str:
    """Copy one photo to `folder`, see `copy_photos`; return its name there."""
    read_image(path)  # raises a clear error unless the file is a complete 8-bit image
    name = os.path.basename(path)
    stem, ending = stem_of(name), os.path.splitext(name)[1]
    with Image.open(path) as image:
        is_upright = image.getexif().get(ORIENTATION, 1) == 1
        if is_upright and max(image.size) <= max_size and ending.lower() in KEPT_ENDINGS:
            shutil.copyfile(path, folder / (stem + ending))
            return stem + ending
        name = stem + ('.png' if ending.lower() == '.png' else '.jpg')
        write_image(folder / name, ImageOps.exif_transpose(image), max_size)
    return name


def write_image(path: Path, image: Image.Image, max_size: int) -> None:
    """Write an image with its EXIF data, downsampled to at most `max_size` px on the longer side."""
    exif = image.getexif()
    has_alpha = path.suffix == '.png' and image.has_transparency_data
    image = image.convert('RGBA' if has_alpha else 'RGB')
    image.thumbnail((max_size, max_size), Image.Resampling.LANCZOS)
    image.save(path, quality=JPEG_QUALITY, exif=exif)


def copy_frames(video: str, folder: Path, count: int, max_size: int) -> list[str]:
    """Write the sharpest frame of each of `count` equal parts of a video to `folder` as JPEG.

    The frames are counted by decoding the video once: its header may lack duration and frame rate (of what browsers record) or
    be wrong about them.

    Returns:
        Their names, in the order of the video.

    Raises:
        UserError: a file that cannot be read as a video.
        OSError: an image cannot be written.
    """
    options, names = reading_options(video), []
    total = sum(1 for _ in frames_of(video, options))
    for frame in sharpest(frames_of(video, options), total, count):
        names.append(f'frame_{len(names):04d}.jpg')
        write_image(folder / names[-1], Image.fromarray(frame), max_size)
    return names


def reading_options(video: str) -> tuple[str, ...]:
    """Return the options to read each frame of a video once; none for an ffmpeg before 5.1, which lacks them."""
    try:
        return EACH_ONCE if next(frames_of(video, EACH_ONCE), None) is not None else ()
    except UserError:
        return ()


def frames_of(video: str, options: Sequence[str] = ()) -> Iterator[np.ndarray]:
    """Yield the frames of a video, uint8 [height, width, 3], read with these options of ffmpeg.

    Raises:
        UserError: a file that cannot be read as a video.
    """
    try:
        yield from imageio.imiter(video, plugin='FFMPEG', output_params=list(options))
    except Exception as error:  # ffmpeg and imageio raise almost anything
        reason = ' '.join(str(error).split())[:200]
        raise UserError(f'{video}: cannot be read as a video ({reason}); give a video file or a folder of photos') from error


def sharpest(frames: Iterator[np.ndarray], total: int, count: int) -> Iterator[np.ndarray]:
    """Yield the sharpest frame, uint8 [height, width, 3], of each of `count` equal parts of `total`; all if fewer."""
    part, best, frame = 0, -1.0, None
    for i, candidate in enumerate(frames):
        if frame is not None and min(i * count // total, count - 1) > part:
            yield frame
            part, best = min(i * count // total, count - 1), -1.0
        value = sharpness(candidate)
        if value > best:
            best, frame = value, candidate
    if frame is not None:
        yield frame


def sharpness(frame: np.ndarray) -> float:
    """Compute the mean squared Laplacian of green, every other pixel, uint8 [height, width, 3] -> squared grey levels."""
    green = frame[::2, ::2, 1].astype(np.float32)
    inner = green[1:-1, 1:-1]
    laplacian = green[:-2, 1:-1] + green[2:, 1:-1] + green[1:-1, :-2] + green[1:-1, 2:] - 4 * inner
    return float(np.mean(laplacian**2)) if laplacian.size else 0.0


def camera_groups(folder: Path, names: list[str]) -> list[list[str]]:
    """Group images that seem to share one camera and focal length: same size and same EXIF focal length."""
    groups = defaultdict(list)
    for name in names:
        with Image.open(folder / name) as image:
            settings = image.getexif().get_ifd(LENS_SETTINGS)
            groups[image.size, *(str(settings.get(tag)) for tag in FOCAL_LENGTHS)].append(name)
    return list(groups.values())
