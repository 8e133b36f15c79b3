"""`python -m nerf.benchmark --config=FILE`: rays per second, share of the machine's peak, and what the lift costs.

With --what, also where a step's time goes (`breakdown`), scaling over forced CPU devices (`devices`), how long a start
takes (`startup`), and how long configs train on a scene until they reach given PSNRs (`time_to`).
"""

import json
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from nerf.benchmark import processes
from nerf.benchmark.breakdown import breakdown
from nerf.benchmark.measuring import measure, resolved
from nerf.benchmark.time_to import curve, time_to
from nerf.benchmark.workload import Workload
from nerf.config import resolve
from nerf.data.formats import load_scene
from nerf.data.options import options_of
from nerf.errors import UserError
from nerf.host import accelerators
from nerf.host import flags as commands
from nerf.host.console import set_up_logging

_CONFIG = config_flags.DEFINE_config_file('config', None, 'What to measure: configs/NAME.py.')
_WHAT = flags.DEFINE_enum('what', 'speed', ['speed', 'breakdown', 'devices', 'startup', 'time_to'], 'Which figures.')
_PAIRS = flags.DEFINE_integer('pairs', 15, 'Measurements of each time, interleaved pairs of each ratio.', lower_bound=1)
_JSON = commands.define_path('json', 'Also write the figures to this file.')
_VERSUS = flags.DEFINE_list('versus', [], 'time_to: more configs, configs/NAME.py:SCENE, trained after the first.')
_PSNR = flags.DEFINE_list('psnr', ['21', '23', '25'], 'time_to: these PSNRs, dB.')
_EVERY = flags.DEFINE_float('every', 5.0, 'time_to: seconds of training between evaluations.')
_VIEWS = flags.DEFINE_integer('views', 25, 'time_to: test views that are evaluated.', lower_bound=1)
_DATA_DIR = commands.define_path('data_dir', "time_to: the scene's folder, or the one above it; none: built in.")


def table(figures: dict[str, Any]) -> str:
    """Format the figures as lines of text, ratios with their quartiles."""
    lines = []
    for name, value in figures.items():
        if name.endswith('_quartiles'):
            continue
        if isinstance(value, dict):
            text = ', '.join(f'{key} {number:.2f} s' for key, number in value.items())
        else:
            text = value if isinstance(value, str) else f'{value:,.0f}' if value >= 100 else f'{value:.4g}'
        if quartiles := figures.get(f'{name}_quartiles'):
            text += f'  (quartiles {quartiles[0]:.3f} .. {quartiles[1]:.3f})'
        lines.append(f'{name:<22} {text}')
    return '\n'.join(lines)


def times_to(config: Any) -> dict[str, Any]:
    """Seconds to each PSNR, and the curves, of the config and those it is compared with, in one run on one scene."""
    figures = {}
    for each in (config, *map(resolved, _VERSUS.value)):
        scene = load_scene(each.data.format, _DATA_DIR.value, each.scene, options_of(each))
        points = curve(each, scene, _EVERY.value, _VIEWS.value)
        for psnr in map(float, _PSNR.value):
            seconds = time_to(points, psnr)
            figures[f'{each.model_name} to {psnr:g} dB'] = 'never' if seconds is None else f'{seconds:.1f} s'
        figures[f'{each.model_name} curve'] = ', '.join(f'{psnr:.2f} dB at {seconds:.0f} s' for seconds, psnr in points)
    return figures


def main(argv: list[str]) -> None:
    """Measure and print."""
    commands.refuse_arguments(argv)
    if _CONFIG.value is None:
        raise UserError('--config is missing: expected a file such as configs/mipnerf_small.py')
    set_up_logging()
    config, path = resolve(_CONFIG.value), config_flags.get_config_filename(flags.FLAGS['config'])
    if _WHAT.value == 'startup':
        figures = processes.start_up(path)
    elif _WHAT.value == 'devices':
        figures = processes.device_scaling(path, _PAIRS.value)
    else:
        commands.keep_compiled()
        accelerators.warn_of_slow_scatter()
        if _WHAT.value == 'speed':
            figures = measure(config, _PAIRS.value)
        elif _WHAT.value == 'breakdown':
            figures = {f'{name}, ms': value for name, value in breakdown(Workload(config), _PAIRS.value).items()}
        else:
            figures = times_to(config)
        figures['device'] = f'{jax.device_count()} x {jax.devices()[0].device_kind}'
    print(table(figures))
    if _JSON.value:
        Path(_JSON.value).write_text(json.dumps(figures, indent=2))


if __name__ == '__main__':
    commands.run(main)
