"""The multiscale Blender data of mip-NeRF (Barron et al., ICCV 2021, section 4.1), made from Blender scenes.

python -m nerf.data.multiscale --blender_dir=DIR --out=DIR [--paper]

Every image is written at its full size and at 1/2, 1/4 and 1/8 of it, with a `metadata.json` in mip-NeRF's layout, see
`nerf.data.formats.multiscale_blender`. DIR is a scene, or a folder of scenes, each of which gets its own folder.

Premultiplied colours are averaged and rounded. The files hold the straight colours c = round(255 p / a) of premultiplied
colours p and alpha a: as |c a / 255 - p| < 1/2, premultiplying them gives exactly p again.
With --paper, straight colours and alpha are averaged in float32, each size from the one before, and truncated: these are
the values of the published data, whose silhouettes have a dark seam.
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nerf.data.formats import blender
from nerf.data.formats.multiscale_blender import FILE
from nerf.data.images import read_image, shrink
from nerf.data.options import DataOptions
from nerf.errors import UserError, exit_with_sentence
from nerf.host.files import atomic_folder

SCALES = 4
SMALLEST = 2 ** (SCALES - 1)  # full sizes are multiples of it
SAY_EVERY = 10  # seconds


def convert(blender_dir: str, out: str, is_paper: bool = False) -> int:
    """Write the scene in `blender_dir`, or those in its subfolders, at four sizes to `out`; return the number of images.

    Files are written beside `out` and moved there at the end, so that a failure leaves nothing half written.

    Raises:
        UserError: no scene in `blender_dir` or a damaged one, an image whose size is not a multiple of 8, or `out` is not
            empty or cannot be written.
    """
    scenes = find_scenes(blender_dir)
    frames = {name: blender.read_frames(folder, DataOptions()) for name, folder in scenes.items()}
    with atomic_folder(out) as folder:
        for name, each in frames.items():
            _write_scene(folder / name, name or os.path.basename(os.path.abspath(blender_dir)), each, is_paper)
    return SCALES * sum(map(len, frames.values()))


def find_scenes(blender_dir: str) -> dict[str, str]:
    """Find the folder of each scene, keyed by its name within `blender_dir`; '' for `blender_dir` itself.

    Raises:
        UserError: no such folder, or no scene there.
    """
    if not os.path.isdir(blender_dir):
        raise UserError(f'--blender_dir={blender_dir}: no such folder; give a Blender scene, or a folder of several')
    if blender.holds(blender_dir):
        return {'': blender_dir}
    scenes = {each.name: each.path for each in os.scandir(blender_dir) if blender.holds(each.path)}
    if not scenes:
        raise UserError(f'--blender_dir={blender_dir}: found no transforms_train.json in it or in a folder of it; give a scene')
    return dict(sorted(scenes.items()))


def scales(straight: np.ndarray) -> list[np.ndarray]:
    """Downsample by 1, 2, 4 and 8: area averages of premultiplied colours, rounded; straight uint8 [h / 2^d, w / 2^d, 4]."""
    return [straight, *(unpremultiply(shrink(straight, straight.shape[1] >> d)) for d in range(1, SCALES))]


def scales_paper(straight: np.ndarray) -> list[np.ndarray]:
    """Downsample like `scales`, but bit for bit as the published data: straight colours averaged in float32 and truncated."""
    values = [straight.astype(np.float32) / 255]
    while len(values) < SCALES:
        upper, lower = values[-1][0::2], values[-1][1::2]
        values.append((upper[:, 0::2] + upper[:, 1::2] + lower[:, 0::2] + lower[:, 1::2]) / 4)
    return [(each * 255).astype(np.uint8) for each in values]


def unpremultiply(pixels: np.ndarray) -> np.ndarray:
    """Compute straight colours round(255 p / a), which `premultiply` maps back to the same p, uint8 [..., 4] -> [..., 4]."""
    colour, alpha = pixels[..., :3].astype(np.uint16), pixels[..., 3:].astype(np.uint16)
    straight = (255 * colour + alpha // 2) // np.maximum(alpha, 1)
    return np.concatenate([straight, alpha], axis=-1).astype(np.uint8)


def _write_scene(folder: Path, name: str, frames: Sequence[blender.Frame], is_paper: bool) -> None:
    """Write one scene's images and its metadata.json."""
    for split in {frame.split for frame in frames}:
        (folder / f'images_{split}').mkdir(parents=True)
    metadata: dict[str, dict[str, list]] = {}
    said = time.monotonic()
    with ThreadPoolExecutor() as pool:  # decoding and encoding PNGs releases the GIL
        rows = pool.map(_write_view, itertools.repeat(folder), frames, itertools.repeat(is_paper))
        for done, (frame, sizes) in enumerate(zip(frames, rows, strict=True), start=1):
            table = metadata.setdefault(frame.split, {})
            for row in sizes:
                for key, value in row.items():
                    table.setdefault(key, []).append(value)
            if time.monotonic() - said > SAY_EVERY or done == len(frames):
                said = time.monotonic()
                print(f'{name}: {done} of {len(frames)} views', flush=True)
    (folder / FILE).write_text(json.dumps(metadata), encoding='utf-8')


def _write_view(folder: Path, frame: blender.Frame, is_paper: bool) -> list[dict[str, Any]]:
    """Write the PNGs of one view; return their entries of metadata.json."""
    straight = read_image(frame.path)
    height, width = straight.shape[:2]
    if height % SMALLEST or width % SMALLEST:
        raise UserError(f'{frame.path}: found {width} x {height} px, expected multiples of {SMALLEST}: crop or render it anew')
    stem = frame.name.removeprefix(f'{frame.split}_')
    rows = []
    for d, image in enumerate(scales_paper(straight) if is_paper else scales(straight)):
        path = f'images_{frame.split}/{stem}_d{d}.png'
        Image.fromarray(image).save(folder / path)
        rows.append({'file_path': path, **_camera(frame, width >> d, height >> d), 'label': d, 'lossmult': 4.0**d})
    return rows


def _camera(frame: blender.Frame, width: int, height: int) -> dict[str, Any]:
    """Return a camera's entries of metadata.json: bounds, pose, and intrinsics in px of an image of this size."""
    focal = float(frame.intrinsics((width, height))[0, 0])
    return {
        'cam2world': [*frame.pose.tolist(), [0.0, 0.0, 0.0, 1.0]],
        'width': width,
        'height': height,
        'focal': focal,
        'pix2cam': [[1 / focal, 0.0, -0.5 * width / focal], [0.0, -1 / focal, 0.5 * height / focal], [0.0, 0.0, -1.0]],
        'near': blender.NEAR,
        'far': blender.FAR,
    }


@exit_with_sentence
def main(args: Sequence[str] | None = None) -> None:
    """Run the command: write the scene, or scenes, of --blender_dir at four sizes to --out."""
    parser = argparse.ArgumentParser(prog='python -m nerf.data.multiscale', description='Write Blender scenes at four sizes.')
    parser.add_argument('--blender_dir', required=True, help='a Blender scene (transforms_train.json), or a folder of several')
    parser.add_argument('--out', required=True, help='folder to write, new or empty')
    parser.add_argument('--paper', action='store_true', help='average straight colours and cut fractions off, as published')
    options = parser.parse_args(args)
    written = convert(options.blender_dir, options.out, options.paper)
    print(f'wrote {written} images to {options.out}')


if __name__ == '__main__':
    main()
