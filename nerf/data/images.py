"""Image files, downsampling, and conversion between straight and premultiplied alpha, 8 bits per channel.

With *straight* alpha, the colour is that of the surface, and alpha is the share of the pixel that it covers. With
*premultiplied* alpha, the colour is multiplied by alpha; only these colours may be averaged. A `Scene` holds them.
"""

import logging
import os
import struct
import threading
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps

from nerf.data.image_kinds import expect_usable, open_image
from nerf.data.options import DataOptions
from nerf.errors import UserError

LOG = logging.getLogger('nerf')
PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
BAND = 64  # rows that are averaged at a time
AT_A_TIME = 2**22  # px that are converted at a time
ORIENTATION, ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # EXIF's tag, and its values by which width and height change places
BITS_PER_SAMPLE = 258  # TIFF's tag
DEEP_MODES = ('I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N')


def read_image(path: str, is_turned: bool = False) -> np.ndarray:
    """Read an image file as RGBA with straight alpha, uint8 [height, width, 4]; opaque if the file has no alpha.

    `is_turned`: turn it by its EXIF orientation.

    Raises:
        UserError: a missing file, a damaged image, more than 8 bits per channel, or too many pixels.
    """
    return _read(path, 'RGBA', is_turned)


def read_grey(path: str) -> np.ndarray:
    """Read an image file as grey, uint8 [height, width], as masks are; alpha is ignored.

    Raises:
        UserError: as `read_image`.
    """
    return _read(path, 'L', is_turned=False)


def _read(path: str, mode: str, is_turned: bool) -> np.ndarray:
    """Read an image file as one of Pillow's modes of 8 bits."""
    if not os.path.isfile(path):
        raise _missing(path)
    try:
        bits = _png_bit_depth(path)
        if bits is not None and bits > 8:  # Pillow would silently truncate 16 bits to 8
            raise UserError(f'{path}: found {bits} bits per channel, expected 8; convert the image first')
        with open_image(path) as image:
            expect_usable(path, image)
            _expect_8_bits(path, image)
            folder = os.path.dirname(path)
            if mode == 'RGBA' and image.mode not in ('RGB', 'RGBA'):
                _say_once(f'{folder}: images of mode {image.mode} are converted to RGBA')
            if is_turned:
                _say_once(f'{folder}: images are turned by their EXIF orientation, as only so they fit their cameras')
            return _pixels(ImageOps.exif_transpose(image) if is_turned else image, mode)
    except UserError:
        raise
    except Exception as error:  # decoders raise almost anything on damaged files
        raise _unreadable(path, error) from error


def size_of(path: str) -> tuple[int, int]:
    """Return (width, height) of an image file, px, from its header, not turned by its EXIF orientation.

    Raises:
        UserError: a missing file, or one without a readable header.
    """
    if not os.path.isfile(path):  # a pipe would make it wait
        raise _missing(path)
    try:
        with open_image(path) as image:
            return image.size
    except UserError:
        raise
    except Exception as error:  # decoders raise almost anything on damaged files
        raise _unreadable(path, error) from error


def is_on_its_side(path: str) -> bool:
    """Return whether the EXIF orientation of an image file turns it by 90 degrees; False if that cannot be read."""
    try:
        with open_image(path) as image:
            expect_usable(path, image)  # where EXIF data follow the pixels, these are decoded
            return image.getexif().get(ORIENTATION) in ON_ITS_SIDE
    except Exception:  # decoders raise almost anything on damaged files; `read_image` says what is wrong
        return False


def _missing(path: str) -> UserError:
    return UserError(f'{path}: no such image file; check the names in the scene against the files')


def _unreadable(path: str, error: Exception) -> UserError:
    return UserError(f'{path}: cannot be read as an image ({" ".join(str(error).split())}); replace the file')


def _pixels(image: Image.Image, mode: str) -> np.ndarray:
    """Convert an image to a mode, uint8 [height, width, 4] or, of grey, [height, width].

    In bands, as Pillow and numpy hold several copies meanwhile.
    """
    width, height = image.size
    pixels = np.empty((height, width, 4) if mode == 'RGBA' else (height, width), np.uint8)
    band = max(1, AT_A_TIME // width)
    for top in range(0, height, band):
        rows = image.crop((0, top, width, min(top + band, height)))
        pixels[top : top + band] = np.asarray(rows.convert(mode))
    return pixels


def shrunk_size(path: str, size: tuple[int, int], options: DataOptions) -> tuple[int, int]:
    """Return the (width, height), px, that `read_shrunk` gives an image of (width, height) `size` on disk.

    Raises:
        UserError: the target width is larger than the image; the message names the file.
    """
    width = options.target_width(size[0])
    try:
        _expect_smaller(size[0], width)
    except UserError as error:
        raise UserError(f'{path}: {error}') from error
    return width, _shrunk_height(size, width)


def read_shrunk(path: str, options: DataOptions, is_turned: bool = False) -> tuple[np.ndarray, tuple[int, int]]:
    """Read an image at the target size, premultiplied uint8 [height, width, 4]; also return its (width, height) on disk, px.

    `is_turned`: turn it by its EXIF orientation, and the size, too.

    Raises:
        UserError: as `read_image` and `shrink`; the message names the file.
    """
    straight = read_image(path, is_turned)
    try:
        return resized(straight, options), (straight.shape[1], straight.shape[0])
    except UserError as error:
        raise UserError(f'{path}: {error}') from error


def resized(straight: np.ndarray, options: DataOptions) -> np.ndarray:
    """Downsample straight uint8 [height, width, 4] to the target size, premultiplied uint8, by `shrink` or `shrink_paper`."""
    width = options.target_width(straight.shape[1])
    return shrink_paper(straight, width) if options.paper_alpha else shrink(straight, width)


def premultiply(straight: np.ndarray) -> np.ndarray:
    """Convert straight to premultiplied alpha, round(c a / 255), uint8 [..., 4] -> uint8 [..., 4]."""
    colour, alpha = straight[..., :3].astype(np.uint16), straight[..., 3:]
    return np.concatenate([((colour * alpha + 127) // 255).astype(np.uint8), alpha], axis=-1)


def shrink(straight: np.ndarray, width: int) -> np.ndarray:
    """Downsample by area averages of premultiplied colours, rounded.

    Straight uint8 [h, w, 4] -> premultiplied uint8 [round(h width / w), width, 4].

    Raises:
        UserError: `width` is larger than the image.
    """
    _expect_smaller(straight.shape[1], width)
    if width == straight.shape[1]:
        return premultiply(straight)
    return _area_average(straight, width, _times_alpha, lambda light: np.rint(light / [255, 255, 255, 1]))


def shrink_paper(straight: np.ndarray, width: int) -> np.ndarray:
    """Downsample like `shrink`, but average straight colours and truncate them, as the published multiscale data was made.

    Colours hidden under alpha 0 leak into silhouettes, usually as a dark seam: use it only to compare with published tables.

    Raises:
        UserError: `width` is larger than the image.
    """
    _expect_smaller(straight.shape[1], width)
    return premultiply(_area_average(straight, width, lambda rows: rows.astype(np.uint32), np.trunc))


def _shrunk_height(size: tuple[int, int], width: int) -> int:
    return max(1, round(size[1] * width / size[0]))


def _times_alpha(rows: np.ndarray) -> np.ndarray:
    """Multiply straight colours, uint8 [h, w, 4], by alpha: 255 times the premultiplied ones, uint32."""
    values = rows.astype(np.uint32)
    alpha = values[..., 3].copy()
    for i in range(3):  # each by itself: numpy is slow along an axis of length 3
        values[..., i] *= alpha
    return values


def _area_average(
    image: np.ndarray,
    width: int,
    values_of: Callable[[np.ndarray], np.ndarray],
    rounded: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Average over the area that each new pixel covers, uint8 [h, w, 4] -> [round(h width / w), width, 4].

    What is averaged is `values_of` rows, uint32, and of the averages, float64, what is `rounded` is kept. Only some rows
    are held in these types at a time: a photo of many pixels takes little more memory than its bytes.
    Pillow's BOX filter is not used: it takes whole pixels only, so it is uneven where the ratio of the sizes is no integer.
    """
    rows, columns = image.shape[:2]
    height = _shrunk_height((columns, rows), width)
    whole, rest = np.divmod(np.arange(height + 1) * rows, height)
    averages = np.empty((height, width, 4), np.uint8)
    above = np.zeros((1, columns, 4), np.uint64)  # sum of all rows above those at hand
    band = max(1, BAND * height // rows)
    for start in range(0, height, band):
        edges = slice(start, min(start + band, height) + 1)
        row = whole[edges] - whole[start]
        values = values_of(image[whole[start] : whole[start] + row[-1] + 1])
        between = np.add.reduceat(values[: row[-1]], row[:-1], axis=0, dtype=np.uint32)
        integral = np.concatenate([above, between]).cumsum(axis=0, dtype=np.uint64)
        # At the end of the image, the row below does not exist, and no part of it is taken.
        at_edges = integral + (rest[edges] / height)[:, None, None] * values[np.minimum(row, len(values) - 1)]
        above = integral[-1:]
        average = _average_columns(np.diff(at_edges, axis=0) * height / rows, width)
        averages[edges][: len(average)] = rounded(average)
    return averages


def _average_columns(values: np.ndarray, count: int) -> np.ndarray:
    """Average each of `count` equal parts of the columns, float64 [h, n, c] -> [h, count, c], by a cumulative sum."""
    columns = values.shape[1]
    whole, rest = np.divmod(np.arange(count + 1) * columns, count)
    integral = np.zeros((values.shape[0], columns + 1, values.shape[2]))
    np.cumsum(values, axis=1, out=integral[:, 1:])
    at_edges = integral[:, whole] + (rest / count)[:, None] * values[:, np.minimum(whole, columns - 1)]
    return np.diff(at_edges, axis=1) * count / columns


def _expect_smaller(full_width: int, width: int) -> None:
    if width > full_width:
        raise UserError(f'width {width} asked for, but the image has {full_width} px; ask for that or less')


def _expect_8_bits(path: str, image: Image.Image) -> None:
    """Refuse an image with more than 8 bits per channel, some of which Pillow would silently truncate, before it is decoded."""
    if image.mode in DEEP_MODES:
        raise UserError(f'{path}: found mode {image.mode}, expected 8 bits per channel; convert the image first')
    bits = image.tag_v2.get(BITS_PER_SAMPLE, (8,)) if image.format == 'TIFF' else (8,)
    if max(bits) > 8:
        raise UserError(f'{path}: found {max(bits)} bits per channel, expected 8; convert the image first')


def _png_bit_depth(path: str) -> int | None:
    """Return the bits per channel (or palette index) from the header of a PNG; None if the file is not a PNG."""
    with open(path, 'rb') as file:
        head = file.read(25)
    if len(head) < 25 or not head.startswith(PNG_SIGNATURE):
        return None
    return struct.unpack('>8x4x4s4x4xB', head)[1]


_said: set[str] = set()
_saying = threading.Lock()


def _say_once(sentence: str) -> None:
    """Log what was done to the images of a folder, once and not for each image; they are read in threads."""
    with _saying:
        if sentence not in _said:
            _said.add(sentence)
            LOG.warning('%s', sentence)
