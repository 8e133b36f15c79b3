"""The contract of models: does a class keep `nerf.models.protocol.Model`? Each broken promise is one sentence.

python -m nerf.models.contract my_module:MyModel
"""

import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nerf.errors import UserError
from nerf.lifting import over_rays
from nerf.models.protocol import LevelInfo, crop_to_interval
from nerf.ray.maths import normalise
from nerf.ray.structs import Level, Ray, Rendering

KEY = jax.random.key(0)
OWN_FIELDS = ('parent', 'name')  # of every Linen module
ARGUMENTS = ['ray', 'key', 'progress', 'photo']


def example_rays() -> Ray:
    """Return four rays into a box of width 3 around the origin, stacked."""

    def towards_origin(origin: Float[Array, '3']) -> Ray:
        direction = -0.25 * origin + jnp.array([0.02, 0.03, 0.0])
        return Ray(origin, direction, normalise(direction), jnp.float32(0.002), jnp.float32(2.0), jnp.float32(6.0))

    return over_rays(towards_origin)(jnp.array([[0.0, 0.0, 4.0], [0.1, 0.2, 4.0], [0.0, 4.0, 0.1], [4.0, 0.0, 0.3]]))


def broken_promises(model_class: Any, **fields: Any) -> list[str]:
    """Return a sentence for each promise of the protocol that a class breaks; none if it keeps all.

    Args:
        model_class: to be checked.
        fields: of its constructor, for a small model; the defaults otherwise.
    """
    declared = list(_check_declaration(model_class))
    if declared:
        return declared
    model, rays = model_class(**fields), example_rays()
    ray = jax.tree.map(lambda leaf: leaf[0], rays)
    try:
        variables = jax.jit(model.init)(KEY, ray)
        apply = jax.jit(model.apply)
        levels = apply(variables, ray, KEY, jnp.float32(0.5), None)
    except Exception as error:  # whatever someone's code may raise
        return [f'__call__(ray, key, progress, photo=None) of one ray raised {type(error).__name__}: {error}']
    broken = list(_check_levels(model, levels, ray))
    if broken:
        return broken
    return [
        *_check_calls(model, variables, apply, ray),
        *_check_lift(model, variables, apply, rays),
        *_check_density(model, variables),
        *_check_cropping(model, variables, ray),
        *_check_state(model, variables),
    ]


def _check_declaration(model_class: Any) -> Iterator[str]:
    if not (inspect.isclass(model_class) and issubclass(model_class, nn.Module)):
        yield f'{model_class!r} is no Linen module: expected a subclass of flax.linen.Module'
        return
    fields = {name: field for name, field in model_class.__dataclass_fields__.items() if name not in OWN_FIELDS}
    for name, field in fields.items():
        if field.default is inspect.Parameter.empty or repr(field.default).startswith('<dataclasses._MISSING'):
            yield f'field {name} has no default: a config starts from the defaults'
    for name in ('spacing', 'compute_dtype'):
        if name not in fields:
            yield f'field {name} is missing: every model has it'
    levels, switches = (getattr(model_class, name, None) for name in ('LEVELS', 'END_SWITCHES'))
    if not levels or not all(isinstance(level, LevelInfo) for level in levels):
        yield 'LEVELS is missing: expected a tuple of LevelInfo, one for each level of the result'
    for level in levels or ():
        if getattr(level, 'count', None) not in fields:
            yield f'LEVELS: {level} counts its samples in a field that the class does not have'
    if switches is None or any(name not in fields for name in switches):
        yield 'END_SWITCHES is missing or names an unknown field: expected a tuple of boolean fields, () for none'
    for name, arguments in (('__call__', ARGUMENTS), ('density', ['point', 'width'])):
        found = list(inspect.signature(getattr(model_class, name, lambda: None)).parameters)[1:]
        if found != arguments:
            yield f'{name} takes ({", ".join(found)}): expected ({", ".join(arguments)})'


def _check_levels(model: nn.Module, levels: Any, ray: Ray) -> Iterator[str]:
    if not isinstance(levels, list | tuple) or not all(isinstance(level, Level) for level in levels):
        yield f'__call__ returned {type(levels).__name__}: expected a list of nerf.ray.structs.Level'
        return
    if len(levels) != len(model.LEVELS):
        yield f'__call__ returned {len(levels)} levels: LEVELS declares {len(model.LEVELS)}'
        return
    for info, level in zip(model.LEVELS, levels, strict=True):
        n, where = np.shape(level.weights)[0] if np.ndim(level.weights) == 1 else 0, f'level {info.name}'
        shapes = {'s': (n + 1,), 't': (n + 1,), 'density': (n,), 'rgb': (n, 3), 'weights': (n,)}
        wrong = [
            f'{name} {np.shape(getattr(level, name))}' for name in shapes if np.shape(getattr(level, name)) != shapes[name]
        ]
        if wrong:
            yield f'{where}: {", ".join(wrong)} found, expected s and t [n+1], density and weights [n], rgb [n, 3]'
            continue
        yield from (f'{where}: {sentence}' for sentence in _check_values(info, level, ray))


def _check_values(info: LevelInfo, level: Level, ray: Ray) -> Iterator[str]:
    s, t, w = (np.asarray(values, np.float64) for values in (level.s, level.t, level.weights))
    if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(level)):
        yield 'a value is not finite'
    if (np.diff(s) < -1e-6).any() or s.min() < -1e-6 or s.max() > 1 + 1e-6:
        yield 's does not rise within [0, 1]'
    if (np.diff(t) < -1e-4).any() or t.min() < float(ray.near) - 1e-4 or t.max() > float(ray.far) + 1e-4:
        yield 't does not rise within [near, far]'
    if (np.asarray(level.density) < 0).any():
        yield 'density is negative'
    if (w < 0).any() or w.sum() > 1 + 1e-4:
        yield f'weights sum to {w.sum():.4f} or are negative: expected probabilities, as nerf.ray.compositing.weights gives'
    if not info.has_colour and np.any(np.asarray(level.rgb) != 0):
        yield 'rgb is not zero: LEVELS declares it without colour'
    reserved = {*Rendering.__dataclass_fields__, 'depth', 'normal'}
    for name, values in level.extras.items():
        if np.shape(values)[:1] != w.shape or np.ndim(values) > 2:
            yield f'extras[{name!r}] has shape {np.shape(values)}: expected [n] or [n, k]'
        if name in reserved:
            yield f'extras[{name!r}]: the name is taken by a map that every view has'


def _check_calls(model: nn.Module, variables: Any, apply: Any, ray: Ray) -> Iterator[str]:
    once, again = (apply(variables, ray, None, 1.0, None) for _ in range(2))
    if not _agree(once, again, 0.0):
        yield 'without a key, two calls differ: expected a deterministic result'
    if not _agree(once, apply(variables, ray, None, 1.0, {}), 1e-5):
        yield 'a photo without numbers changes the result: expected the identity'
    for progress in (0.0, 1.0):
        found = apply(variables, ray, KEY, jnp.float32(progress), None)
        if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(found)):
            yield f'at progress {progress} a value is not finite'
    gradient = jax.jit(jax.grad(lambda params: _visible(model.apply({**variables, 'params': params}, ray, KEY))))
    leaves = jax.tree.leaves(gradient(variables['params']))
    if not all(np.isfinite(np.asarray(leaf)).all() for leaf in leaves):
        yield 'the gradient by the parameters is not finite'
    elif not any(np.abs(np.asarray(leaf)).max() > 0 for leaf in leaves):
        yield 'the gradient by the parameters is zero: nothing can be learned'


def _check_lift(model: nn.Module, variables: Any, apply: Any, rays: Ray) -> Iterator[str]:
    lifted = jax.jit(over_rays(lambda ray: model.apply(variables, ray)))(rays)
    for i in range(2):
        alone = apply(variables, jax.tree.map(lambda leaf, i=i: leaf[i], rays), None, 1.0, None)
        if not _agree(jax.tree.map(lambda leaf, i=i: leaf[i], lifted), alone, 1e-3):
            yield 'lifted over rays, a ray differs from the same ray alone: expected a function of one ray'
            break
    try:
        model.apply(variables, rays)
        yield 'a batch of rays is accepted: expected a refusal; call expect_one_ray(ray) first'
    except ValueError as error:
        if 'lift with over_rays' not in str(error):
            yield f'a batch of rays raised {str(error)[:80]!r}: expected the sentence of expect_one_ray(ray); call it first'
    except Exception as error:  # a batch may end anywhere in someone's code
        yield f'a batch of rays raised {type(error).__name__}: expected the sentence of expect_one_ray(ray); call it first'


def _check_density(model: nn.Module, variables: Any) -> Iterator[str]:
    try:
        density = model.apply(variables, jnp.array([0.1, 0.2, 0.3]), jnp.float32(0.05), method='density')
    except Exception as error:
        yield f'density(point, width) of one point raised {type(error).__name__}: {error}'
        return
    if np.shape(density) != () or not np.isfinite(density) or density < 0:
        yield f'density(point, width) returned {density!r:.60}: expected one number, finite and not negative'


def _check_cropping(model: nn.Module, variables: Any, ray: Ray) -> Iterator[str]:
    try:
        cropped = crop_to_interval(model, 0.5)
        fewer = jax.eval_shape(cropped.apply, variables, ray)
    except Exception as error:
        yield f'with half of the samples and END_SWITCHES off it raised {type(error).__name__}: {error}'
        return
    full = jax.eval_shape(model.apply, variables, ray)
    if not all(a.density.shape[0] < b.density.shape[0] for a, b in zip(fewer, full, strict=True)):
        yield 'with half of the samples a level is as long as before: LEVELS names another field than the one that counts'


def _check_state(model: nn.Module, variables: Any) -> Iterator[str]:
    extra = set(variables) - {'params', 'state'}
    if extra:
        yield f'it keeps Linen collections {sorted(extra)}: only params and state are saved with a run'
    if 'state' not in variables:
        return
    try:
        _, kept = model.apply(variables, KEY, jnp.float32(0.5), method='update_state', mutable=['state'])
    except Exception as error:
        yield f'update_state(key, progress) raised {type(error).__name__}: {error}; a model with a collection state has it'
        return
    if jax.tree.map(jnp.shape, kept['state']) != jax.tree.map(jnp.shape, variables['state']):
        yield 'update_state changed the shapes of state: expected the same ones, which a checkpoint can restore'


def _visible(levels: list[Level]) -> Any:
    return sum(jnp.sum(level.weights[:, None] * (level.rgb + level.density[:, None])) for level in levels)


def _agree(found: Any, expected: Any, tolerance: float) -> bool:
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return all(np.allclose(one, other, rtol=tolerance, atol=tolerance) for one, other in pairs)


def class_of(address: str) -> type[nn.Module]:
    """Import the class `module:Class`, from the working directory too.

    Raises:
        UserError: if there is no such module or class.
    """
    module, _, name = address.partition(':')
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f'{address}: {error}; expected module:Class, such as nerf.models.nerf:NeRF') from error


def main(arguments: list[str]) -> int:
    """Check the class named on the command line; the exit status is the number of broken promises."""
    if len(arguments) != 1:
        print('usage: python -m nerf.models.contract module:Class', file=sys.stderr)
        return 2
    try:
        broken = broken_promises(class_of(arguments[0]))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    for sentence in broken:
        print(f'{arguments[0]}: {sentence}')
    if not broken:
        print(f'{arguments[0]} keeps the protocol of models')
    return min(len(broken), 1)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
