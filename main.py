"""Train a scene: `python main.py --config=configs/quickstart.py`, then evaluate and render it."""

import nerf.host.interrupts  # noqa: F401, I001, first: from here on Ctrl-C is one line

import os
from typing import Any

from absl import flags
from ml_collections import config_flags

from nerf.errors import UserError
from nerf.host import flags as commands
from nerf.host.console import set_up_logging

_CONFIG = config_flags.DEFINE_config_file('config', None, 'What to train: configs/NAME.py or configs/NAME.py:SCENE.')
_DATA_DIR = commands.define_path('data_dir', "The scene's folder, or the one above it; none: the built-in scene.")
_MODEL_DIR = commands.define_path('model_dir', 'Where the run is kept; by default logs/<config>_<data folder>.')
_PROFILE = flags.DEFINE_bool('profile', False, "Trace a few steps for TensorBoard's profiler.")
_VIEWER = flags.DEFINE_bool('viewer', False, 'Show the scene in a browser while it is learned, and then until Ctrl-C.')
_HOST = flags.DEFINE_string(
    'host',
    '127.0.0.1',
    'viewer: address to serve at; 0.0.0.0: all names and addresses of this machine. Unless given, it alone can look.',
)
_PORT = flags.DEFINE_integer('port', 8080, 'viewer: port of the page; 0: any that is free.', lower_bound=0, upper_bound=65535)
_DEBUG_RAY = flags.DEFINE_string(
    'debug_ray', None, 'CAMERA,X,Y: compute ONE pixel of a photo (by name or number), print each stage, and stop.'
)
_DISTRIBUTED = flags.DEFINE_bool('distributed', False, 'Join the processes of a cluster that JAX recognises.')
_COORDINATOR = flags.DEFINE_string('coordinator', None, 'host:port of process 0, where there is no such cluster.')
_NUM_PROCESSES = flags.DEFINE_integer('num_processes', None, 'How many processes train together.')
_PROCESS_ID = flags.DEFINE_integer('process_id', None, 'Which of them this is, from 0.')
_WAIT = flags.DEFINE_integer('wait', 300, 'Seconds to wait for the other processes at the start.', lower_bound=1)


def main(argv: list[str]) -> None:
    """Train, evaluate, render; or do what is missing of it."""
    commands.refuse_arguments(argv)
    if _CONFIG.value is None:
        raise UserError('--config is missing: expected a file such as configs/quickstart.py')
    set_up_logging()
    commands.keep_compiled()
    from nerf.host import accelerators, processes  # JAX starts here, after the flags are known to be right

    joining = (_DISTRIBUTED.value, _COORDINATOR.value, _NUM_PROCESSES.value, _PROCESS_ID.value, _WAIT.value)
    with processes.joined(*joining):
        from nerf import run as running
        from nerf.viewer.server import Address

        if not processes.is_first():
            set_up_logging(is_quiet=True)
        accelerators.warn_of_slow_scatter()
        config_file = config_flags.get_config_filename(flags.FLAGS['config'])
        model_dir = _MODEL_DIR.value or os.path.join('logs', running.run_name(config_file, _CONFIG.value, _DATA_DIR.value))
        if _DEBUG_RAY.value is not None:
            running.debug(_CONFIG.value, _DATA_DIR.value, model_dir, _DEBUG_RAY.value)
            return
        viewer = Address(_HOST.value, _PORT.value) if _VIEWER.value else None
        running.run(_CONFIG.value, _DATA_DIR.value, model_dir, is_profiled=_PROFILE.value, viewer=viewer)


def describe(file: str | None, config: Any) -> str:
    """Say for --help which configs there are, or what is in one."""
    from nerf.config_help import describe_config, list_configs  # JAX starts here

    return list_configs() if file is None else describe_config(file, config)


if __name__ == '__main__':
    commands.run(main, describe)
