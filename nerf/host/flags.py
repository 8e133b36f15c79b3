"""Start of a command: flag parsing, with a one-sentence error instead of a traceback for wrong flags."""

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags
from ml_collections import config_flags

from nerf.errors import UserError, exit_with_sentence, unknown
from nerf.host.files import cache_folder
from nerf.host.interrupts import interruptible

# Of these two entries one is enough. Asked for on the command line, the first unsets the second, which else takes precedence.
ALTERNATIVES = ('data.factor', 'data.width')
NONE = ('none', 'None')  # the words that unset an entry
HELP = ('-h', '-?', *(f'{dashes}{word}' for dashes in ('-', '--') for word in ('help', 'helpshort', 'helpfull')))


def run(main: Callable[[list[str]], None], describe: Callable[[str | None, Any], str] = lambda file, config: '') -> None:
    """Parse the flags and call `main` with the remaining arguments; print a `UserError` as one sentence, with exit status 1.

    `--help` prints the flags and ends with status 0.

    Args:
        main: of the command.
        describe: (file of the config, config) -> what `--help` says of it, or, of None, None, of all configs.
    """

    def interruptible_main(argv: list[str]) -> None:
        with interruptible():
            main(argv)

    def parse(argv: list[str]) -> list[str]:
        left = [word for word in argv if word not in HELP]
        if len(left) == len(argv):
            return _parse(argv)
        print_help(_parse(left) and describe)
        sys.exit(0)

    app.run(exit_with_sentence(interruptible_main), flags_parser=exit_with_sentence(parse))


def print_help(describe: Callable[[str | None, Any], str]) -> None:
    """Print what a command does and its flags, or, with a --config, the entries of that."""
    if 'config' in flags.FLAGS and flags.FLAGS['config'].present:
        file, config = config_flags.get_config_filename(flags.FLAGS['config']), flags.FLAGS['config'].value
        print(describe(file, config))
        return
    doc = sys.modules['__main__'].__doc__ or ''
    print('\n\n'.join(filter(None, [doc.strip(), flags.FLAGS.main_module_help().strip(), describe(None, None)])))


class _PathParser(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        """Replace `~` by the home folder."""
        return os.path.expanduser(argument)


def define_path(name: str, help: str) -> flags.FlagHolder:
    """Define a flag for a file or folder, in which `~` is the home folder; None unless given."""
    command = sys.argv[0]  # whose flag it is, so that --help lists it
    return flags.DEFINE(_PathParser(), name, None, help, serializer=flags.ArgumentSerializer(), module_name=command)


def _parse(argv: list[str]) -> list[str]:
    argv, unset = _take_unset(argv)
    sys.argv = argv  # where ml_collections searches for overrides
    try:
        left = app.parse_flags_with_usage(argv)
    except (AttributeError, KeyError, TypeError) as error:
        _check_overrides(argv)
        raise UserError(f'an override of the config is wrong: {error}') from error
    except (OSError, SyntaxError, ImportError, ValueError) as error:
        raise UserError(f'the config cannot be read: {" ".join(str(error).split())}') from error
    if 'config' in flags.FLAGS and flags.FLAGS['config'].present:
        _check_config()
        for dotted in _choose_alternative(argv, unset):
            _unset(dotted)
    return left


def _take_unset(argv: list[str]) -> tuple[list[str], list[str]]:
    """Split the arguments into those that ml_collections understands, and the entries that are to be unset."""
    left, unset = [], []
    words = iter(argv)
    for word in words:
        name, is_joined, value = word.partition('=')
        if not re.match(r'--?config\.', name):
            left.append(word)
            continue
        if not is_joined:
            value = next(words, '')
        if value in NONE:
            unset.append(name.lstrip('-').removeprefix('config.'))
        else:
            left += [word] if is_joined or not value else [word, value]
    return left, unset


def _choose_alternative(argv: list[str], unset: list[str]) -> list[str]:
    """Return the entries to unset, with that to which another was preferred on the command line."""
    first, second = (any(re.match(rf'--?config\.{name}(=|$)', word) for word in argv) for name in ALTERNATIVES)
    if first and second:
        raise UserError(f'--config.{ALTERNATIVES[0]} and --config.{ALTERNATIVES[1]} exclude each other: give one of them')
    return [*unset, ALTERNATIVES[1]] if first else unset


def _unset(dotted: str) -> None:
    *sections, name = dotted.split('.')
    node = flags.FLAGS['config'].value
    for section in sections:
        node = node[section] if hasattr(node, 'keys') and section in node else {}
    if name not in node:
        raise UserError(f'--config.{dotted}=none: there is no such entry')
    node[name] = None


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
        jax.config.update('jax_compilation_cache_dir', str(cache_folder() / 'jax'))
        # One operation after the other (JAX_DISABLE_JIT=1), hundreds are compiled, each in no time.
        jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0 if jax.config.jax_disable_jit else 0.3)
