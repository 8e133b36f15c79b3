"""Kinds of image files that are read: their endings, and how such a file is opened without trust in what it says.

Not all formats of Pillow: for PostScript it starts an external program.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from PIL import Image

from nerf.errors import UserError

MOST_PIXELS = 500_000_000  # of one image; cameras have up to 150 million
DEFLATE = 1032  # highest compression ratio of deflate


class Kind(NamedTuple):
    """One kind of image file: endings of names, and the most samples (pixels x channels) in a byte; None: any number."""

    endings: tuple[str, ...]
    samples: int | None


# By Pillow's names. Bits per sample: with deflate at least 1 before it is compressed; JPEG 1 for a block of 8 x 8 of a channel,
# of which others may have fewer; BMP and TGA 2 bytes for a run of 255 or 128; GIF 12 for at most 4096; PPM 1 uncompressed.
KINDS = {
    'PNG': Kind(('.png',), 8 * DEFLATE),
    'JPEG': Kind(('.jpg', '.jpeg', '.jpe', '.jfif', '.mpo'), 3 * 512),
    'WEBP': Kind(('.webp',), None),
    'TIFF': Kind(('.tif', '.tiff'), 8 * DEFLATE),
    'BMP': Kind(('.bmp', '.dib'), 128),
    'AVIF': Kind(('.avif',), None),
    'HEIF': Kind(('.heic', '.heif', '.hif'), None),
    'GIF': Kind(('.gif',), 4096),
    'JPEG2000': Kind(('.jp2', '.j2k'), None),
    'PPM': Kind(('.ppm', '.pgm', '.pbm', '.pnm'), 8),
    'TGA': Kind(('.tga',), 128),
}
ENDINGS = tuple(ending for kind in KINDS.values() for ending in kind.endings)
ALIKE = {'MPO': 'JPEG', 'DIB': 'BMP'}  # what Pillow may call a file of a kind
HEIF_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1', b'msf1')
NEEDED = {'HEIF': 'pip install pillow-heif', 'AVIF': "pip install --upgrade 'pillow>=11.3'"}  # what older installations lack
_limit = threading.Lock()


def is_image(name: str) -> bool:
    """Return whether a file is an image by its name; what begins with a dot is not (`._a.jpg` of a Mac holds no picture)."""
    return not name.startswith('.') and name.lower().endswith(ENDINGS)


def is_folder_of_images(name: str) -> bool:
    """Return whether a folder may hold images by its name, which hidden ones and those of a Mac's archives do not."""
    return not name.startswith('.') and name != '__MACOSX'


def no_images(folder: str, names: Iterable[str]) -> UserError:
    """Return the error for a folder without images, whose files have these names: it tells their endings, and those read."""
    endings = Counter(os.path.splitext(name)[1].lower() for name in names if not name.startswith('.'))
    shown = [ending for ending, _ in endings.most_common() if ending.isprintable() and 1 < len(ending) < 12][:5]
    found = f', but files that end in {", ".join(shown)}' if shown else ''
    return UserError(f'{folder}: found no images{found}; expected {", ".join(ENDINGS)}: convert others to JPEG or PNG')


def open_image(path: str) -> Image.Image:
    """Open an image file by its first bytes, whatever its ending, without decoding it; any size, see `expect_usable`.

    Raises:
        UserError: a kind of file that needs a package that is not there.
        Exception: what Pillow raises: it is no image of a kind that is read.
    """
    Image.init()
    needed = kind_of_container(path)
    if needed == 'HEIF' and needed not in Image.OPEN:
        register_heif()
    if needed and needed not in Image.OPEN:
        raise UserError(f'{path}: is a {needed} image, which is not read here; {NEEDED[needed]}, or convert it to JPEG')
    # Any bytes may be a TGA, which has no signature.
    kinds = [kind for kind in KINDS if kind in Image.OPEN and (kind != 'TGA' or path.lower().endswith('.tga'))]
    with _limit:  # Pillow's own limit, 89 million, is a global; it stays as it is for others
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=kinds)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def expect_usable(path: str, image: Image.Image) -> None:
    """Refuse an image with more pixels than `MOST_PIXELS`, or than its file can hold, before it is decoded.

    Raises:
        UserError: such an image.
    """
    count = image.width * image.height
    if count > MOST_PIXELS:
        raise UserError(f'{path}: {image.width} x {image.height} px are too many, expected {MOST_PIXELS:,} at most')
    samples = KINDS[ALIKE.get(image.format, image.format)].samples
    most = count if samples is None else samples * os.path.getsize(path) // len(image.getbands())
    if count > most:
        raise UserError(f'{path}: says {image.width} x {image.height} px, but holds no more than {most}; replace the file')


def kind_of_container(path: str) -> str | None:
    """Return HEIF or AVIF if the file is a container of this kind, else None."""
    with open(path, 'rb') as file:
        head = file.read(64)
    if head[4:8] != b'ftyp':
        return None
    return 'AVIF' if b'avif' in head[8:] else 'HEIF' if head[8:12] in HEIF_BRANDS else None


def register_heif() -> bool:
    """Let Pillow read HEIC and HEIF, if the optional package pillow-heif is installed; return whether it is."""
    try:
        import pillow_heif  # large
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True
