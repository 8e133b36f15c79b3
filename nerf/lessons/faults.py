"""Faults of one line, planted on purpose: what a closed form reveals and a picture does not."""

import contextlib
import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax

from nerf.errors import unknown


@dataclasses.dataclass(frozen=True)
class Fault:
    """One line of one function, and what it is replaced by.

    Attributes:
        function: its full name.
        right: a part of its source, which occurs once.
        wrong: what stands there instead.
    """

    function: str
    right: str
    wrong: str


FAULTS = {
    'lengths without |d|': Fault('nerf.ray.compositing.lengths', ' * norm(direction)', ''),
    'inclusive sum': Fault('nerf.ray.compositing.transmittance', 'exclusive_cumsum(', 'jnp.cumsum('),
    'other side of a step': Fault('nerf.ray.histogram.interpolate', 'x[:, None] >= xp', 'x[:, None] > xp'),
    'along and across swapped': Fault(
        'nerf.ray.gaussians.along_ray', 't_var * outer + r_var * across', 'r_var * outer + t_var * across'
    ),
    'y down': Fault('nerf.ray.cameras.pixel_to_camera', '[x, -y,', '[x, y,'),
    'half a pixel': Fault('nerf.ray.cameras.pixel_to_camera', 'xy[1] - k[1, 2]', 'xy[1] - 0.5 - k[1, 2]'),
    'gradient into positions': Fault('nerf.ray.sampling.sample', 'jax.lax.stop_gradient(', '('),
    'fade with 2^l': Fault('nerf.ray.encodings._expected', 'octaves(variance, 2 * degrees)', 'octaves(variance, degrees)'),
    'no transpose': Fault('nerf.ray.gaussians.push_forward', 'jacobian[None, :, :], axis=2', 'jacobian.T[None, :, :], axis=2'),
    'deviation of the square': Fault('nerf.ray.cameras.cast', '* 2 / jnp.sqrt(12.0)', '/ jnp.sqrt(12.0)'),
    'sum in the hash': Fault('nerf.ray.hashgrid.corners', 'x ^ y ^ z', 'x + y + z'),
    'one jitter for all': Fault(
        'nerf.ray.sampling.stratified', 'jax.random.uniform(key, (num,))', 'jax.random.uniform(key, ())'
    ),
    'proposal drags the field': Fault('nerf.ray.losses.interlevel', 'jax.lax.stop_gradient(', '('),
    '1/12 for 1/3': Fault('nerf.ray.losses.distortion', '/ 3', '/ 12'),
}


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """Replace one line of the package while the block runs, wherever its function was imported, and put it back.

    What was compiled before is compiled again, inside and after, so that no cached result hides the fault.

    Raises:
        UserError: a fault that does not exist, with those that do.
    """
    if name not in FAULTS:
        raise unknown('fault', name, FAULTS)
    module, _, attribute = FAULTS[name].function.rpartition('.')
    right = getattr(importlib.import_module(module), attribute)
    wrong = mutant(FAULTS[name])
    jax.clear_caches()
    _replace(right, wrong)
    try:
        yield
    finally:
        _replace(wrong, right)
        jax.clear_caches()


def mutant(fault: Fault) -> Callable[..., Any]:
    """Compile a function of the package with its one line replaced."""
    name, _, attribute = fault.function.rpartition('.')
    module = importlib.import_module(name)
    source = inspect.getsource(getattr(module, attribute)).replace(fault.right, fault.wrong)
    found: dict[str, Any] = {}
    exec(compile(source, f'<{attribute}, with a fault>', 'exec'), vars(module), found)
    return found[attribute]


def _replace(old: Callable, new: Callable) -> None:
    """Replace a function in all of our modules, their tables, and the notebook itself."""
    for name, module in list(sys.modules.items()):
        if name == '__main__' or name.split('.')[0] in ('nerf', 'configs'):
            for space in (vars(module), *(value for value in vars(module).values() if type(value) is dict)):
                for key in [key for key, value in space.items() if value is old]:
                    space[key] = new
