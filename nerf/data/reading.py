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


def fill_pixels(where: str, full_sizes: np.ndarray, sizes: np.ndarray, read: Callable[[int], np.ndarray]) -> np.ndarray:
    """Read images into one buffer, uint8 [sum of width x height, 4].

    Args:
        where: the scene, for messages.
        full_sizes: (width, height) of each image's file, [k, 2], px.
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

    on_all_cores('reading images', fill, full_sizes)
    return pixels


def on_all_cores(what: str, read: Callable[[int], None], full_sizes: np.ndarray) -> None:
    """Call `read` for each of k images, in threads, as decoding releases the GIL.

    So many at a time that those of (width, height) `full_sizes` [k, 2] fit into memory. After two seconds, the first of
    several processes shows the progress, in images per second.
    """
    progress = Progress(what, len(full_sizes), is_quiet=not processes.is_first(), unit='images', after=SHOWN_AFTER)
    largest = int(np.prod(np.asarray(full_sizes, np.int64), axis=1).max())
    with ThreadPoolExecutor(max(1, min(_cores(), AT_ONCE // largest))) as pool:
        for _ in pool.map(read, range(len(full_sizes))):
            progress.advance()
    progress.close()


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
            f'{where}: {len(sizes)} images need {4e-9 * areas.sum():.3g} GB of memory, more than there is (the largest '
            f'has {width} x {height} px); set --config.data.factor, or leave some out'
        ) from None


def images_of(values: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Return each image's part [height, width, ...] of a buffer [sum of width x height, ...], as views, to write to it."""
    ends = np.cumsum(np.prod(np.asarray(sizes, np.int64), axis=1))
    parts = np.split(values, ends[:-1])
    return [
        part.reshape(int(height), int(width), *values.shape[1:]) for part, (width, height) in zip(parts, sizes, strict=True)
    ]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
