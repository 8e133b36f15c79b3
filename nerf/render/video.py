"""Frames to a video file."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import imageio_ffmpeg
import numpy as np
from PIL import Image

from nerf.errors import UserError
from nerf.host.files import atomic_file

# Else ffmpeg is started by a fork, of which JAX's threads make a deadlock possible.
os.environ.setdefault('IMAGEIO_FFMPEG_NO_PREVENT_SIGINT', '1')


ENDINGS = ('mp4', 'gif')
GIF_END = b';'  # the last byte of a whole gif


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int) -> None:
    """Write uint8 frames [h, w, 3] as an mp4 or gif of exactly their size; the file appears under its name when complete.

    H.264 with half-resolution colour plays everywhere but needs even sizes: odd ones keep full-resolution colour.

    Raises:
        UserError: it cannot be written, or what was written has not all frames (imageio says nothing when ffmpeg fails, as on
            a full disk).
    """
    with atomic_file(path) as temporary:
        writer, count = None, 0
        for frame in frames:
            if writer is None:
                writer = imageio.get_writer(temporary, **_options(path.suffix, frame, fps))
            writer.append_data(frame)
            count += 1
        writer.close()
        found = count_frames(temporary)
        # In a gif, a frame that is the same as the one before is not stored: that one is shown longer.
        if found != count and not (path.suffix == '.gif' and 0 < found < count):
            raise UserError(f'{path}: {found} of {count} frames could be written: free some space and run the command again')


def count_frames(path: Path) -> int:
    """Count the frames of a video that can be decoded; 0 if it is damaged."""
    try:
        if path.suffix == '.gif':
            with Image.open(path) as video:
                return video.n_frames if path.read_bytes().endswith(GIF_END) else 0
        return imageio_ffmpeg.count_frames_and_secs(path)[0]
    except (OSError, RuntimeError, ValueError):
        return 0


def _options(suffix: str, frame: np.ndarray, fps: int) -> dict[str, Any]:
    if suffix == '.gif':
        return {'duration': 1000 / fps, 'loop': 0}
    is_even = frame.shape[0] % 2 == 0 and frame.shape[1] % 2 == 0
    colours = 'yuv420p' if is_even else 'yuv444p'
    return {'fps': fps, 'codec': 'libx264', 'quality': 8, 'macro_block_size': 1, 'pixelformat': colours}
