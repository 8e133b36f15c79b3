"""All that a machine can answer, unattended, most wanted first: each part is a process of its own, and may fail alone."""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nerf.host.files import write_atomically

_log = logging.getLogger('nerf')
SCALES = ('full', 'tiny')  # tiny: a rehearsal, whose figures mean nothing
LONGEST = 240.0  # seconds of one part
SPEEDS = {
    'mipnerf_blender': [],
    'instant_blender': [],
    'mipnerf_blender, bfloat16': ['--config.compute_dtype=bfloat16'],
    'instant_blender, 4 times the batch': ['--config.batch_size=32768'],
    'nerf_blender': ['--config.batch_size=4096'],
    'mipnerf360': [],
    'instant_360': [],
}
CURVES = {
    'instant_blender:lego': ['--psnr=33,35,36', '--every=15'],
    'mipnerf_blender:lego': ['--config.compute_dtype=bfloat16', '--psnr=25,28,30', '--every=60'],
    'mipnerf360:bonsai': ['--psnr=20,22,24', '--every=60'],
}
TRAINED = 120.0  # seconds of each curve
# What stands for a config in a rehearsal.
SMALL = {
    'mipnerf_blender': 'tiny',
    'instant_blender': 'quickstart',
    'nerf_blender': 'nerf_small',
    'mipnerf360': 'mipnerf360_small',
    'instant_360': 'photos',
}


def parts(scale: str, data_dir: str | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each part and the flags of `python -m nerf.benchmark` that measure it."""
    is_tiny = scale == 'tiny'

    def file(config: str) -> str:
        return f'--config=configs/{SMALL[config] if is_tiny else config}.py'

    size = ['--size=256'] if is_tiny else []
    yield 'chip', ['--what=chip', *size]
    for name, flags in SPEEDS.items():
        fewer = ['--pairs=1', '--config.batch_size=32'] if is_tiny else ['--pairs=7']
        yield f'speed of {name}', [file(name.split(',')[0]), *flags, *fewer]
    yield 'scatter', ['--what=scatter', *size]
    for name, flags in CURVES.items():
        config, _, scene = name.partition(':')
        folder = find_scene(data_dir, scene)
        if folder is None:
            _log.info('%s is not below --data_dir=%s: seconds to a PSNR on it are left out', scene, data_dir)
            continue
        short = ['--config.num_steps=10', '--config.batch_size=32', '--config.data.width=16', '--views=1'] if is_tiny else []
        source = [f'{file(config)}:{scene}', f'--data_dir={folder}', f'--longest={TRAINED}']
        yield f'{scene} by {config}', ['--what=time_to', *source, *flags, *short]


def find_scene(data_dir: str | None, scene: str) -> Path | None:
    """Return the folder that holds the scene's: `data_dir`, or one in that."""
    folders = [] if data_dir is None else [Path(data_dir), *sorted(Path(data_dir).glob('*/'))]
    return next((folder for folder in folders if (folder / scene).is_dir()), None)


def measure_everything(scale: str, data_dir: str | None, out: str | None, longest: float = LONGEST) -> dict[str, Any]:
    """Run all parts; after each, what is known so far is printed and written to `out`."""
    figures: dict[str, Any] = {}
    for name, flags in parts(scale, data_dir):
        began = time.perf_counter()
        figures[name] = measure_part(flags, longest)
        _log.info('%s (%.0f s): %s', name, time.perf_counter() - began, json.dumps(figures[name]))
        if out:
            write_atomically(Path(out), json.dumps(figures, indent=2).encode())
    return figures


def measure_part(flags: Sequence[str], longest: float) -> dict[str, Any]:
    """Run one part in its own process; its figures, or under `failed` why there are none."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, 'figures.json')
        command = [sys.executable, '-m', 'nerf.benchmark', *flags, f'--json={answer}']
        # Each takes what it needs, so that its peak can be told.
        environment = {**os.environ, 'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=longest)
        except subprocess.TimeoutExpired:
            return {'failed': f'not done after {longest:.0f} s'}
        if done.returncode or not answer.is_file():
            return {'failed': (done.stderr.strip().splitlines() or ['no reason was given'])[-1]}
        return json.loads(answer.read_text())
