"""Render a trained scene from its folder alone: `python render.py --model_dir=logs/quickstart`."""

from absl import flags

from nerf import commands
from nerf.console import set_up_logging
from nerf.errors import UserError

_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'The folder of a training run.')
_TASK = flags.DEFINE_list('task', ['test', 'video'], 'What to make: any of test, video.')
_STEP = flags.DEFINE_integer('step', None, 'Which checkpoint; by default the newest.')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Another copy of the data, perhaps with other test views.')
_CHUNK = flags.DEFINE_integer('chunk', None, 'Rays computed at a time on each device; by default what fits.', lower_bound=1)
_SKIP_EMPTY = flags.DEFINE_bool('skip_empty', None, 'Whether to skip what is empty; by default as the config says.')


def main(argv: list[str]) -> None:
    """Do the tasks, one after the other."""
    commands.refuse_arguments(argv)
    if _MODEL_DIR.value is None:
        raise UserError('--model_dir is missing: expected the folder of a training run')
    set_up_logging()
    commands.keep_compiled()
    from nerf import running  # JAX starts here, after the flags are known to be right

    running.render(_MODEL_DIR.value, _TASK.value, _STEP.value, _DATA_DIR.value, _CHUNK.value, _SKIP_EMPTY.value)


if __name__ == '__main__':
    commands.run(main)
