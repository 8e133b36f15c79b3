"""Reading of all images of a scene by all cores, into one flat buffer that is allocated once."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from nerf.errors import UserError
from nerf.host import processes
from nerf.host.console import Progress

Entry = TypeVar('Entry')
Found = TypeVar('Found')
AT_ONCE = 2**27  # px of the images that are decoded at a time, each of which takes about 16 bytes until it is done
SHOWN_AFTER = 2.0  # seconds of reading


def map_files(function: Callable[[Entry], Found], entries: Sequence[Entry]) -> list[Found]:
    """Call a function that reads a file, or the head of one, on each entry, in threads; return the results in order."""
    with ThreadPoolExecutor(_cores()) as pool:
        return list(pool.map(function, entries))


def fill_pixels(
    where: str, full_sizes: np.ndarray, sizes: np.ndarray, read: Callable[[int], np.ndarray], what: str = 'reading images'
) -> np.ndarray:
    """Read images into one buffer, uint8 [sum of width x height, 4]; on all cores, as decoding releases the GIL.

    After two seconds, progress is shown with the images per second, by the first of several processes.

    Args:
        where: the scene, for messages.
        full_sizes: (width, height) of each image's file, [k, 2], px: so many pixels are in memory while it is decoded.
        sizes: (width, height) of each image once it is read, [k, 2], px.
        read: returns image i, uint8 [height, width, 4].

    Raises:
        UserError: as `read`, an image is not of its size, or all are too large for the memory.
    """
    pixels = empty_pixels(where, sizes)
    places = images_of(pixels, sizes)

    def fill(i: int) -> None:
        image = read(i)
        if image.shape != places[i].shape:
            found, said = (f'{shape[1]} x {shape[0]}' for shape in (image.shape, places[i].shape))
            raise UserError(f'{where}: image {i + 1} has {found} px where its file says {said}: replace the file')
        places[i][...] = image

    progress = Progress(what, len(sizes), is_quiet=not processes.is_first(), unit='images', after=SHOWN_AFTER)
    largest = int(np.prod(np.asarray(full_sizes, np.int64), axis=1).max())
    with ThreadPoolExecutor(max(1, min(_cores(), AT_ONCE // largest))) as pool:
        for _ in pool.map(fill, range(len(sizes))):
            progress.advance()
    progress.close()
    return pixels


def empty_pixels(where: str, sizes: np.ndarray) -> np.ndarray:
    """Allocate the buffer of images of (width, height) `sizes` [k, 2], px, uint8 [sum of width x height, 4].

    Raises:
        UserError: that is more than there is memory.
    """
    areas = np.prod(np.asarray(sizes, np.int64), axis=1)
    try:
        return np.empty((int(areas.sum()), 4), np.uint8)
    except (MemoryError, ValueError):  # ValueError: more than can be addressed
        width, height = sizes[int(np.argmax(areas))]
        raise UserError(
            f'{where}: {len(sizes)} images need {4e-9 * areas.sum():.3g} GB of memory, which is more than there is (the largest '
            f'has {width} x {height} px); set --config.data.factor, or leave some out'
        ) from None


def images_of(pixels: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Return each image's part of the buffer, uint8 [height, width, 4], a view: what is written to it is in the buffer."""
    ends = np.cumsum(np.prod(np.asarray(sizes, np.int64), axis=1))
    parts = np.split(pixels, ends[:-1])
    return [part.reshape(int(height), int(width), 4) for part, (width, height) in zip(parts, sizes, strict=True)]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
