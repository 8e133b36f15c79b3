"""Inspection of a scene before training: what was read, the layout of the cameras, and likely problems.

python -m nerf.data.inspect DIR [--scene_type=object] [--factor=4 | --width=400] [--format=colmap] [--out=look.png]
"""

import argparse
import contextlib
import logging
import os
from collections.abc import Iterator, Sequence

from nerf.data.formats import FORMATS, load_scene, resolve_source
from nerf.data.inspect.checks import geometry_warnings, photo_warnings
from nerf.data.inspect.measures import measure_photos
from nerf.data.inspect.picture import save_picture
from nerf.data.inspect.report import Source, file_warnings, page
from nerf.data.options import DataOptions
from nerf.data.scene import Scene
from nerf.errors import UserError, exit_with_sentence
from nerf.scene_types import SCENE_TYPES


def inspect(scene: Scene, source: Source, said: Sequence[str] = ()) -> tuple[str, list[str]]:
    """Return the page about a scene, and its warnings alone; `said` are the warnings of its loader."""
    facts = measure_photos(scene)
    warnings = [
        *said,
        *file_warnings(source),
        *geometry_warnings(scene, source.options),
        *photo_warnings(scene, source.options, facts),
    ]
    return page(scene, source, facts, warnings), warnings


@contextlib.contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect the warnings that are logged within the block, which are shown on the page and not logged."""
    log, lines = logging.getLogger('nerf'), []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    propagated, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.propagate = propagated


def _check_out(out: str) -> None:
    """Refuse a path that is not that of a PNG in an existing folder, before the scene is read."""
    if not out.lower().endswith('.png') or os.path.isdir(out):
        raise UserError(f'--out={out}: expected the name of a file that ends in .png')
    if not os.path.isdir(os.path.dirname(os.path.abspath(out))):
        raise UserError(f'--out={out}: no such folder; make it first, or choose another')


@exit_with_sentence
def main(args: Sequence[str] | None = None) -> None:
    """Run the command: print the page about the scene in DIR, and draw it if there is an --out."""
    parser = argparse.ArgumentParser(prog='python -m nerf.data.inspect', description='Inspect a scene before training.')
    parser.add_argument('dir', nargs='?', help="the scene's folder; the built-in scene if left out")
    parser.add_argument('--format', help='format of the scene; detected unless given')
    parser.add_argument('--scene_type', choices=SCENE_TYPES, help='as it is trained; the usual one of the format')
    parser.add_argument('--factor', type=int, default=1, help='downsampling factor of the images')
    parser.add_argument('--width', type=int, help='or their width, px')
    parser.add_argument('--near', type=float, help='near bound of rays to try')
    parser.add_argument('--far', type=float, help='far bound of rays to try')
    parser.add_argument('--out', type=os.path.expanduser, help='a PNG to draw: cameras, points and photos')
    given = parser.parse_args(args)
    if given.out is not None:
        _check_out(given.out)
    if given.width is not None and given.factor != 1:
        raise UserError('--width and --factor exclude each other: give one of them')
    format, folder = resolve_source(given.format, given.dir, '')
    scene_type = given.scene_type or FORMATS[format].scene_type
    options = DataOptions(given.factor, given.width, given.near, given.far, scene_type=scene_type)
    with _heard() as said:
        scene = load_scene(format, folder or None, '', options)
    text, warnings = inspect(scene, Source(format, folder, options), said)
    print(text)
    if given.out is not None:
        save_picture(given.out, scene, text, warnings)
        print(f'\ndrawn: {given.out}')


if __name__ == '__main__':
    main()
