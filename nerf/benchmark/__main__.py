"""`python -m nerf.benchmark --config=FILE`: rays per second, share of the machine's peak, and what the lift costs.

With --what, also where a step's time goes (`breakdown`), scaling over forced CPU devices (`devices`), how long a start
takes (`startup`), how long configs train on a scene until they reach given PSNRs (`time_to`), and what accelerators that
are not there would need (`compile`). `chip` and `scatter` say what the device at hand can do at most; `all` measures all
that can be measured without someone there, each part in a process of its own (`--out`, `--data_dir`).
"""

import json
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from nerf.benchmark import everything, processes
from nerf.benchmark.ahead import compile_ahead
from nerf.benchmark.breakdown import breakdown
from nerf.benchmark.chips import PLATFORMS, describe_devices
from nerf.benchmark.hardware import measure_chip, measure_scatter
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
_WHAT = flags.DEFINE_enum(
    'what',
    'speed',
    ['speed', 'breakdown', 'devices', 'startup', 'time_to', 'compile', 'chip', 'scatter', 'all'],
    'Which figures.',
)
_PAIRS = flags.DEFINE_integer('pairs', 15, 'Measurements of each time, interleaved pairs of each ratio.', lower_bound=1)
_JSON = commands.define_path('json', 'Also write the figures to this file.')
_VERSUS = flags.DEFINE_list('versus', [], 'time_to: more configs, configs/NAME.py:SCENE, trained after the first.')
_PSNR = flags.DEFINE_list('psnr', ['21', '23', '25'], 'time_to: these PSNRs, dB.')
_EVERY = flags.DEFINE_float('every', 5.0, 'time_to: seconds of training between evaluations.')
_VIEWS = flags.DEFINE_integer('views', 25, 'time_to: test views that are evaluated.', lower_bound=1)
_PLATFORM = flags.DEFINE_enum('platform', 'tpu', PLATFORMS, 'compile: for which kind of accelerator.')
_TOPOLOGY = flags.DEFINE_string(
    'topology', 'v5e:1x1', 'compile: v5e:1x1, v5e:4x8 and the like; h100, or a description of a GPU.'
)
_SCALE = flags.DEFINE_enum('scale', 'full', everything.SCALES, 'all: tiny is a rehearsal, whose figures mean nothing.')
_OUT = commands.define_path('out', 'all: file of the figures, written after each part.')
_SIZE = flags.DEFINE_integer('size', 8192, 'chip, scatter: rows of the matrices; 2**9 times as many are added.', lower_bound=1)
_LONGEST = flags.DEFINE_float('longest', None, 'time_to: seconds of training after which it ends.', lower_bound=0)
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
        points = curve(each, scene, _EVERY.value, _VIEWS.value, _LONGEST.value)
        for psnr in map(float, _PSNR.value):
            seconds = time_to(points, psnr)
            figures[f'{each.model_name} to {psnr:g} dB'] = 'never' if seconds is None else f'{seconds:.1f} s'
        figures[f'{each.model_name} curve'] = ', '.join(f'{psnr:.2f} dB at {seconds:.0f} s' for seconds, psnr in points)
    return figures


def without_config(what: str) -> dict[str, Any]:
    """Measure what no config is needed for: the device at hand, or everything."""
    if what == 'all':
        return everything.measure_everything(_SCALE.value, _DATA_DIR.value, _OUT.value)
    figures = measure_chip(_SIZE.value) if what == 'chip' else measure_scatter((2**5 * _SIZE.value, 2**9 * _SIZE.value))
    return figures | {'device': device()}


def with_config(what: str, config: Any, path: str) -> dict[str, Any]:
    """Measure something of a config."""
    if what == 'startup':
        return processes.start_up(path)
    if what == 'devices':
        return processes.device_scaling(path, _PAIRS.value)
    if what == 'compile':
        processes.begin_again_with(processes.AHEAD)
        return compile_ahead(config, _PLATFORM.value, describe_devices(_PLATFORM.value, _TOPOLOGY.value))
    commands.keep_compiled()
    accelerators.warn_of_slow_scatter()
    if what == 'speed':
        figures = measure(config, _PAIRS.value)
    elif what == 'breakdown':
        figures = {f'{name}, ms': value for name, value in breakdown(Workload(config), _PAIRS.value).items()}
    else:
        figures = times_to(config)
    return figures | {'device': device()}


def device() -> str:
    """Name the devices at hand."""
    return f'{jax.device_count()} x {jax.devices()[0].device_kind}'


def main(argv: list[str]) -> None:
    """Measure and print."""
    commands.refuse_arguments(argv)
    set_up_logging()
    if _WHAT.value in ('chip', 'scatter', 'all'):
        figures = without_config(_WHAT.value)
    elif _CONFIG.value is None:
        raise UserError('--config is missing: expected a file such as configs/mipnerf_small.py')
    else:
        figures = with_config(_WHAT.value, resolve(_CONFIG.value), config_flags.get_config_filename(flags.FLAGS['config']))
    if _WHAT.value != 'all':  # which is logged part by part
        print(table(figures))
    if _JSON.value:
        Path(_JSON.value).write_text(json.dumps(figures, indent=2))


if __name__ == '__main__':
    commands.run(main)
