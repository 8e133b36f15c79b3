"""Input images of a reconstruction: photos, upright and limited in size, or the sharpest frames of a video."""

import logging
import os
import shutil
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from nerf.data.capture.photos import DAMAGED, NEEDS_HEIF, LeftOut, list_photos, names_of, readable_kinds
from nerf.data.capture.videos import Video, count_packets, parts_of
from nerf.data.image_kinds import expect_usable, kind_of_container, open_image
from nerf.data.names import same_file
from nerf.errors import UserError
from nerf.host.console import Progress

LOG = logging.getLogger('nerf')
# COLMAP reads these as they are, if their pixels are of these modes.
KEPT = {'JPEG': ('.jpg', '.jpeg'), 'MPO': ('.jpg', '.jpeg'), 'PNG': ('.png',)}
COMMON_MODES = ('L', 'RGB', 'RGBA')
JPEG_QUALITY = 95
WORKERS = min(8, os.cpu_count() or 1)  # each may hold a photo of 500 MP, the limit
DEEP, CONVERTED = '32 bits per channel', 'converted'
# EXIF tags: orientation, maker and model of the camera, pointer to the camera settings, and the focal lengths in these.
ORIENTATION, CAMERA, LENS_SETTINGS, FOCAL_LENGTHS = 0x0112, (0x010F, 0x0110), 0x8769, (0x920A, 0xA405)


def copy_photos(source: str, folder: Path, max_size: int, left_out: LeftOut) -> list[str]:
    """Copy the photos in `source` to `folder`, upright (by EXIF orientation) and at most `max_size` px on the longer side.

    Those that cannot be read are noted in `left_out`, as is all else that is not used.

    Returns:
        Their new names, in the order of the old ones.

    Raises:
        UserError: no photos.
        OSError: a file cannot be opened or written.
    """
    paths = list_photos(source, left_out)
    stems, progress = names_of(paths), Progress('reading photos', len(paths))
    twice = Counter(same_file(os.path.splitext(path)[0]) for path in paths)
    if max(twice.values(), default=1) > 1:
        LOG.warning(
            '%s: %d photos have the name of another (%s); remove what shows the same moment twice, of which one may '
            'be trained on and the other tested',
            source,
            len(paths) - len(twice),
            twice.most_common(1)[0][0],
        )

    def copy(path: str, stem: str) -> tuple[str, str]:
        return copy_photo(os.path.join(source, path), folder, stem, max_size)

    names, converted = [], 0
    with warnings.catch_warnings(), ThreadPoolExecutor(WORKERS) as pool:
        warnings.simplefilter('ignore')  # of damaged EXIF data, and of large photos
        for path, (name, said) in zip(paths, pool.map(copy, paths, stems), strict=True):
            progress.advance()
            if name:
                names.append(name)
                converted += said == CONVERTED
            else:
                left_out.add(path, said)
    progress.close()
    if not names:
        raise UserError(
            f'{source}: found no photos that can be read, expected JPEG, PNG, HEIC or the like{in_sentence(left_out)}'
        )
    if converted:
        LOG.info('%d photos with 16 bits per channel, CMYK or a palette are converted to 8 bits, RGB', converted)
    return names


def in_sentence(left_out: LeftOut) -> str:
    """Return what is left out as the end of a sentence; videos alone are to be given one by one."""
    said = str(left_out)
    return f'; {said}' + ('; give the video file itself' if '(video)' in said else '') if said else ''


def copy_photo(path: str, folder: Path, stem: str, max_size: int) -> tuple[str, str]:
    """Copy one photo to `folder`, see `copy_photos`; return its name there, '' if it cannot be read, and why or CONVERTED."""
    try:
        with open_image(path) as image:
            expect_usable(path, image)
            said = '' if is_common(image) else CONVERTED  # first, as reading a PNG's EXIF data decodes it
            is_kept = not said and can_be_kept(image, path, max_size)
            if is_kept:
                image.load()  # fails unless the file is complete
            else:
                exif = camera_exif(image)
                image = upright(image, max_size)
    except Exception as error:  # decoders raise almost anything on damaged files
        if isinstance(error, OSError) and error.errno:
            raise
        return '', DEEP if str(error) == DEEP else NEEDS_HEIF if is_unknown_heif(path) else DAMAGED
    ending = os.path.splitext(path)[1]
    if is_kept:
        shutil.copyfile(path, folder / (stem + ending))
        return stem + ending, said
    name = stem + ('.png' if image.mode == 'RGBA' else '.jpg')
    image.save(folder / name, quality=JPEG_QUALITY, exif=exif)
    return name, said


def can_be_kept(image: Image.Image, path: str, max_size: int) -> bool:
    """Return whether COLMAP and the loaders read the file as it is, upright and small enough."""
    is_upright = exif_of(image).get(ORIENTATION, 1) == 1
    ending = os.path.splitext(path)[1].lower()
    return ending in KEPT.get(image.format, ()) and is_upright and max(image.size) <= max_size


def is_common(image: Image.Image) -> bool:
    """Return whether an image that is not decoded yet has 8 bits per channel and is grey, RGB or RGBA."""
    rawmode = str(image.tile[0][3]) if image.tile else ''  # Pillow reads RGB of 16 bits as 8
    return image.mode in COMMON_MODES and ';16' not in rawmode


def upright(image: Image.Image, max_size: int) -> Image.Image:
    """Return an image as RGB or, if it has alpha, RGBA, upright by its EXIF orientation, at most `max_size` px wide and high.

    Raises:
        ValueError: floats, whose range is not known.
    """
    size, orientation = (max_size, max_size), exif_of(image).get(ORIENTATION, 1)
    if image.format in ('JPEG', 'MPO'):
        image.thumbnail(size, Image.Resampling.LANCZOS)  # decodes no more pixels than it needs
    if orientation != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode == 'F':
        raise ValueError(DEEP)
    if image.mode.startswith('I'):
        image = Image.fromarray((np.clip(np.asarray(image).astype(np.int32), 0, 65535) >> 8).astype(np.uint8))
    image = image.convert('RGBA' if image.has_transparency_data else 'RGB')
    image.thumbnail(size, Image.Resampling.LANCZOS)
    return image


def exif_of(image: Image.Image) -> Image.Exif:
    """Return the EXIF data; none where they are damaged."""
    try:
        exif = image.getexif()
        exif.get_ifd(LENS_SETTINGS)
        return exif
    except Exception:  # Pillow raises almost anything on damaged data
        return Image.Exif()


def camera_exif(image: Image.Image) -> Image.Exif:
    """Return what EXIF data say of the camera, which COLMAP estimates the focal length from."""
    found, exif = exif_of(image), Image.Exif()
    settings = found.get_ifd(LENS_SETTINGS)
    exif.update({tag: found[tag] for tag in CAMERA if isinstance(found.get(tag), str)})
    exif.get_ifd(LENS_SETTINGS).update({tag: settings[tag] for tag in FOCAL_LENGTHS if tag in settings})
    try:
        exif.tobytes()
    except Exception:  # as it was read, it may not be possible to write
        return Image.Exif()
    return exif


def is_unknown_heif(path: str) -> bool:
    """Return whether a file is HEIC or HEIF, whatever its ending, and Pillow does not read these."""
    return kind_of_container(path) == 'HEIF' and 'HEIF' not in readable_kinds()


def copy_frames(video: str, folder: Path, count: int, max_size: int) -> list[str]:
    """Write the sharpest frame of each of `count` parts of a video (`nerf.data.capture.videos.parts_of`) to `folder` as JPEG.

    Returns:
        Their names, in the order of the video.

    Raises:
        UserError: a file that cannot be read as a video.
        OSError: an image cannot be written.
    """
    names, progress = [], Progress('reading video', 2 * count_packets(video))  # once for the times, once for the pictures
    try:
        opened = Video(video, progress)
        if opened.cut_off():
            LOG.warning('%s', opened.cut_off())
        for frame in sharpest(advancing(opened.frames(), progress), parts_of(opened.times, count)):
            names.append(f'frame_{len(names):04d}.jpg')
            image = Image.fromarray(frame)
            image.thumbnail((max_size, max_size), Image.Resampling.LANCZOS)
            image.save(folder / names[-1], quality=JPEG_QUALITY)
    finally:
        progress.close()
    return names


def advancing(frames: Iterator[np.ndarray], progress: Progress) -> Iterator[np.ndarray]:
    """Yield the frames, and report each."""
    for frame in frames:
        yield frame
        progress.advance()


def sharpest(frames: Iterator[np.ndarray], firsts: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield the sharpest frame, uint8 [height, width, 3], of each part; `firsts` are the numbers of the parts' first frames."""
    begins, best, frame = set(firsts), -1.0, None
    for i, candidate in enumerate(frames):
        if i in begins and frame is not None:
            yield frame
            best = -1.0
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
        with warnings.catch_warnings(), Image.open(folder / name) as image:
            warnings.simplefilter('ignore')  # of damaged EXIF data
            settings = exif_of(image).get_ifd(LENS_SETTINGS)
            groups[image.size, *(str(settings.get(tag)) for tag in FOCAL_LENGTHS)].append(name)
    return list(groups.values())
