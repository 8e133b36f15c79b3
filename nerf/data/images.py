"""Images from files, and the arithmetic of 8-bit colour and alpha.

*Straight* pixels hold the colour of what is there and, apart from it, how much of the pixel it covers. *Premultiplied*
pixels hold colour times alpha: the light that arrives, which is what may be averaged. A `Scene` holds these.
"""

import functools
import logging
import os
import struct

import numpy as np
from PIL import Image

from nerf.data.options import DataOptions
from nerf.errors import UserError

LOG = logging.getLogger('nerf')
PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'
# Not all that Pillow knows: for PostScript, it starts a program.
KINDS = ('PNG', 'JPEG', 'WEBP', 'TIFF')
DEFLATE = 1032  # times smaller than before, at most
DEEP_MODES = ('I', 'F', 'I;16', 'I;16B', 'I;16L', 'I;16N')


def read_image(path: str) -> np.ndarray:
    """Read an image file as straight RGBA, uint8 [height, width, 4]; without alpha in the file it is opaque.

    Raises:
        UserError: no such file, not a whole image, more than 8 bits per channel, or too many pixels.
    """
    if not os.path.isfile(path):
        raise UserError(f'{path}: no such image file; check the names in the scene against the files')
    try:
        bits = _png_bit_depth(path)
        if bits is not None and bits > 8:  # Pillow would cut 16 bits of colour to 8 without a word
            raise UserError(f'{path}: found {bits} bits per channel, expected 8; convert the image first')
        with Image.open(path, formats=KINDS) as image:
            _expect_usable(path, image)
            if image.mode not in ('RGB', 'RGBA'):
                _say_converted(os.path.dirname(path), image.mode)
            return np.array(image.convert('RGBA'))
    except UserError:
        raise
    except Exception as error:  # decoders raise almost anything on damaged files
        reason = ' '.join(str(error).split())
        raise UserError(f'{path}: cannot be read as an image ({reason}); replace the file') from error


def size_of(path: str) -> tuple[int, int]:
    """Width and height of an image file, px, by its header.

    Raises:
        UserError: no such file, or none that says so.
    """
    try:
        with Image.open(path, formats=KINDS) as image:
            return image.size
    except FileNotFoundError:
        raise UserError(f'{path}: no such image file; check the names in the scene against the files') from None
    except Exception as error:  # decoders raise almost anything on damaged files
        raise UserError(f'{path}: cannot be read as an image ({" ".join(str(error).split())}); replace the file') from error


def read_shrunk(path: str, options: DataOptions) -> tuple[np.ndarray, tuple[int, int]]:
    """Read an image at the target size, premultiplied uint8 [height, width, 4], and its (width, height) on disk, px.

    Raises:
        UserError: as `read_image` and `shrink`, naming the file.
    """
    straight = read_image(path)
    try:
        return resized(straight, options), (straight.shape[1], straight.shape[0])
    except UserError as error:
        raise UserError(f'{path}: {error}') from error


def resized(straight: np.ndarray, options: DataOptions) -> np.ndarray:
    """Straight uint8 [height, width, 4] -> premultiplied uint8 at the size, and in the way, that was asked for."""
    width = options.target_width(straight.shape[1])
    return shrink_paper(straight, width) if options.paper_alpha else shrink(straight, width)


def premultiply(straight: np.ndarray) -> np.ndarray:
    """Straight to premultiplied alpha, round(c a / 255), uint8 [..., 4] -> uint8 [..., 4]."""
    colour, alpha = straight[..., :3].astype(np.uint16), straight[..., 3:]
    return np.concatenate([((colour * alpha + 127) // 255).astype(np.uint8), alpha], axis=-1)


def shrink(straight: np.ndarray, width: int) -> np.ndarray:
    """Area average of the light, rounded: straight uint8 [h, w, 4] -> premultiplied uint8 [round(h width / w), width, 4].

    Raises:
        UserError: `width` is larger than the image.
    """
    _expect_smaller(straight, width)
    if width == straight.shape[1]:
        return premultiply(straight)
    alpha = straight[..., 3].astype(np.float64)
    light = [_area_average(straight[..., i] * alpha, width) / 255 for i in range(3)]
    return np.rint(np.stack([*light, _area_average(alpha, width)], axis=-1)).astype(np.uint8)


def shrink_paper(straight: np.ndarray, width: int) -> np.ndarray:
    """Shrink as `shrink` does, but average straight colours and cut off fractions, as the published multiscale data was made.

    Colours hidden under alpha 0 leak into silhouettes, usually as a dark seam: only for comparing with published tables.

    Raises:
        UserError: `width` is larger than the image.
    """
    _expect_smaller(straight, width)
    channels = [_area_average(straight[..., i].astype(np.float64), width) for i in range(4)]
    return premultiply(np.stack(channels, axis=-1).astype(np.uint8))


def _area_average(channel: np.ndarray, width: int) -> np.ndarray:
    """Mean over the area that each new pixel covers, float64 [h, w] -> [round(h width / w), width].

    Not Pillow's BOX filter, which takes whole pixels only and so is uneven where the ratio of the sizes is not whole.
    """
    height = max(1, round(channel.shape[0] * width / channel.shape[1]))
    return _average_rows(_average_rows(channel, height).T, width).T


def _average_rows(values: np.ndarray, count: int) -> np.ndarray:
    """Mean over each of `count` equal parts of the rows, float64 [n, m] -> [count, m], by differences of the integral."""
    rows = len(values)
    if count == rows:
        return values
    integral = np.zeros((rows + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=integral[1:])
    whole, rest = np.divmod(np.arange(count + 1) * rows, count)
    at_edges = integral[whole] + (rest / count)[:, None] * values[np.minimum(whole, rows - 1)]
    return np.diff(at_edges, axis=0) * count / rows


def _expect_smaller(straight: np.ndarray, width: int) -> None:
    if width > straight.shape[1]:
        raise UserError(f'width {width} asked for, but the image has {straight.shape[1]} px; ask for that or less')


def _expect_usable(path: str, image: Image.Image) -> None:
    """Refuse, before anything is decoded, what is too big or too deep."""
    if image.width * image.height > Image.MAX_IMAGE_PIXELS:
        raise UserError(f'{path}: {image.width} x {image.height} px are too many, expected {Image.MAX_IMAGE_PIXELS} at most')
    # Eight pixels of one channel take a byte at least, of which deflate makes no less than a thousandth.
    most = 8 * DEFLATE * os.path.getsize(path) // len(image.getbands())
    if image.format == 'PNG' and image.width * image.height > most:
        raise UserError(f'{path}: says {image.width} x {image.height} px, but holds no more than {most}; replace the file')
    if image.mode in DEEP_MODES:
        raise UserError(f'{path}: found mode {image.mode}, expected 8 bits per channel; convert the image first')


def _png_bit_depth(path: str) -> int | None:
    """Bits per channel (or palette index) by the header of a PNG; None if it is none."""
    with open(path, 'rb') as file:
        head = file.read(25)
    if len(head) < 25 or not head.startswith(PNG_SIGNATURE):
        return None
    return struct.unpack('>8x4x4s4x4xB', head)[1]


@functools.cache
def _say_converted(folder: str, mode: str) -> None:
    """Once for each folder: not a line for each of its images."""
    LOG.warning('%s: images of mode %s are converted to RGBA', folder, mode)
