"""Frames to a video file."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np

from nerf.host.files import atomic_file

# Else ffmpeg is started by a fork, of which JAX's threads make a deadlock possible.
os.environ.setdefault('IMAGEIO_FFMPEG_NO_PREVENT_SIGINT', '1')


ENDINGS = ('mp4', 'gif')


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Write uint8 frames [h, w, 3] as an mp4 or gif of exactly their size; the file appears under its name when complete.

    H.264 with half-resolution colour plays everywhere but needs even sizes: odd ones keep full-resolution colour.
    """
    with atomic_file(path) as temporary:
        writer = None
        for frame in frames:
            if writer is None:
                writer = imageio.get_writer(temporary, **_options(path.suffix, frame, fps))
            writer.append_data(frame)
        writer.close()


def _options(suffix: str, frame: np.ndarray, fps: int) -> dict[str, Any]:
    if suffix == '.gif':
        return {'duration': 1000 / fps, 'loop': 0}
    is_even = frame.shape[0] % 2 == 0 and frame.shape[1] % 2 == 0
    colours = 'yuv420p' if is_even else 'yuv444p'
    return {'fps': fps, 'codec': 'libx264', 'quality': 8, 'macro_block_size': 1, 'pixelformat': colours}
