"""Start of a command: flag parsing, with a one-sentence error instead of a traceback for wrong flags."""

import os
import re
import sys
from collections.abc import Callable

from absl import app, flags
from ml_collections import config_flags

from nerf.errors import UserError, exit_with_sentence, unknown


def run(main: Callable[[list[str]], None]) -> None:
    """Parse the flags and call `main` with the remaining arguments; print a `UserError` as one sentence, with exit status 1."""
    app.run(exit_with_sentence(main), flags_parser=exit_with_sentence(_parse))


def _parse(argv: list[str]) -> list[str]:
    try:
        left = app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError, TypeError) as error:
        _check_overrides(argv)
        raise UserError(f'an override of the config is wrong: {error}') from error
    except (OSError, SyntaxError, ImportError, ValueError) as error:
        raise UserError(f'the config cannot be read: {" ".join(str(error).split())}') from error
    if 'config' in flags.FLAGS and flags.FLAGS['config'].present:
        _check_config()
    return left


def _check_config() -> None:
    """Refuse a config file that could not be read: ml_collections raises the error only when the config is accessed."""
    name = config_flags.get_config_filename(flags.FLAGS['config'])
    try:
        _ = flags.FLAGS['config'].value.model_name
    except OSError as error:
        raise UserError(f'--config={name}: no such file, expected configs/NAME.py or configs/NAME.py:SCENE') from error


def _check_overrides(argv: list[str]) -> None:
    """Refuse a `--config.a.b` that does not exist, naming its first unknown part and the known entries."""
    sys.argv = [each for each in argv if not each.startswith('--config.')]  # ml_collections searches sys.argv for overrides
    flags.FLAGS.unparse_flags()
    flags.FLAGS(sys.argv)
    _check_config()
    for dotted in re.findall(r'--config\.([\w.]+)', ' '.join(argv)):
        node, path = flags.FLAGS['config'].value, 'config'
        for name in dotted.split('.'):
            if not hasattr(node, 'keys'):
                raise UserError(f'{path} is a value, not a section: --config.{dotted} does not exist')
            if name not in node:
                raise unknown(f'{path} entry', name, node.keys())
            node, path = node[name], f'{path}.{name}'


def refuse_arguments(argv: list[str]) -> None:
    """Refuse arguments that are left after the flags.

    Raises:
        UserError: naming the first such argument.
    """
    if argv[1:]:
        raise UserError(f'unexpected argument {argv[1]!r} of {sys.argv[0]}: options start with --')


def keep_compiled() -> None:
    """Enable JAX's persistent compilation cache in the user's cache folder, for faster restarts; JAX's own settings win."""
    import jax  # slow to import, and only needed if the flags are valid

    if not jax.config.jax_compilation_cache_dir:
        home = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
        jax.config.update('jax_compilation_cache_dir', os.path.join(home, 'nerf', 'jax'))
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
