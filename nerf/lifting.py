"""The lift: from one sample to a ray's samples, from one ray to many, from one device to many.

The only file that says vmap, pmap or lax.map. It knows nothing of radiance fields.

| argument              | samples of a ray | rays of a device | devices    |
|-----------------------|------------------|------------------|------------|
| params                | shared           | shared           | replicated |
| ray, pixel            | shared           | mapped           | mapped     |
| t, Gaussians, points  | mapped           | -                | -          |
| key                   | -                | mapped (or None) | mapped     |
| progress              | -                | shared           | shared     |

A matrix product that is lifted twice reaches XLA with two leading axes, and the gradient of its kernel then
contracts over both, which costs a transposed copy of a large activation on CPUs. `flat_dot` is a matrix product
that stays flat however often it is lifted: what is lowered is always [rows, features] x [features, outputs].
`flat_add` does the same for a bias and the sum that is its gradient.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

DEVICES = 'devices'


def over_samples(function: Callable | nn.Module, in_axes: Any = 0) -> Callable:
    """Lift a function of ONE sample to the samples of a ray; a Linen module's parameters are shared between them."""
    if isinstance(function, nn.Module):
        call = nn.vmap(
            lambda module, *args: module(*args),
            in_axes=in_axes,
            variable_axes={'params': None},
            split_rngs={'params': False},
        )
        return lambda *args: call(function, *args)
    return jax.vmap(function, in_axes)


def over_rays(function: Callable, in_axes: Any = 0) -> Callable:
    """Lift a function of ONE ray to many rays of one device."""
    return jax.vmap(function, in_axes)


def in_chunks(function: Callable, chunk: int) -> Callable:
    """Lift a function of ONE ray to any number of rays, computed `chunk` at a time to bound the memory."""
    return lambda *args: jax.lax.map(lambda each: function(*each), args, batch_size=chunk)


def over_devices(function: Callable, in_axes: Any = 0, donate: tuple[int, ...] = ()) -> Callable:
    """Lift a function of ONE device to all local devices (axis name `devices`, for sums across them)."""
    return jax.pmap(function, DEVICES, in_axes=in_axes, donate_argnums=donate)


def sum_over_devices(tree: Any) -> Any:
    """Sum over all devices of all processes, inside `over_devices`."""
    return jax.lax.psum(tree, DEVICES)


def device_index() -> jax.Array:
    """Number of this device among all devices of all processes, [], inside `over_devices`."""
    return jax.lax.axis_index(DEVICES)


def replicate(tree: Any) -> Any:
    """A copy on every local device, with a leading device axis."""
    return _copy()(np.arange(jax.local_device_count()), tree)


@functools.cache
def _copy() -> Callable[[Any, Any], Any]:
    # Over the axis of `over_devices`: copies on another axis would have what takes them compiled twice.
    return over_devices(lambda _, x: x, in_axes=(0, None))


def unreplicate(tree: Any) -> Any:
    """The first local device's copy, as numpy arrays (indexing on the device would compile a slice for each shape)."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], tree)


def shard(tree: Any) -> Any:
    """Split leading axes [rays] into [local devices, rays per device].

    Raises:
        ValueError: if the rays cannot be divided evenly (pmap alone would leave devices out without a word).
    """
    devices = jax.local_device_count()

    def split(x: Any) -> Any:
        if x.shape[0] % devices:
            raise ValueError(f'{x.shape[0]} rays cannot be divided between {devices} devices: use a multiple of {devices}')
        return x.reshape(devices, x.shape[0] // devices, *x.shape[1:])

    return jax.tree.map(split, tree)


def flat_dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Matrix product x kernel, [k] x [k, n] -> [n], that stays one flat product when x is lifted.

    Equals `jnp.dot`; derivatives of any order and both modes exist. If the kernel is lifted too, it falls back on an
    ordinary batched product.
    """
    return _flat_dot.bind(x, kernel)


def flat_add(x: jax.Array, bias: jax.Array) -> jax.Array:
    """Sum x + bias, [n] + [n] -> [n], the gradient of whose bias is one flat sum over rows when x is lifted."""
    return _flat_add.bind(x, bias)


def _rows(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])


def _dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(_rows(x), kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def _outer(x: jax.Array, y: jax.Array) -> jax.Array:
    # Not x.T y: for a single output XLA would write the transposed activation to memory.
    return jax.lax.dot_general(_rows(x), _rows(y), (((0,), (0,)), ((), ())))


def _add(x: jax.Array, bias: jax.Array) -> jax.Array:
    return (_rows(x) + bias[None, :]).reshape(x.shape)


def _sum(x: jax.Array) -> jax.Array:
    return jnp.sum(_rows(x), axis=0)


# x [..., k], kernel [k, n] -> [..., n], and for its gradient x [..., k], y [..., n] -> [k, n];
# x [..., n], bias [n] -> [..., n], and for its gradient x [..., n] -> [n].
_flat_dot, _flat_outer = Primitive('flat_dot'), Primitive('flat_outer')
_flat_add, _flat_sum = Primitive('flat_add'), Primitive('flat_sum')


def _define(primitive: Primitive, compute: Callable, shape: Callable, *, keeps_rows: bool) -> None:
    """Give a primitive its meaning, its shape, and its lift.

    Where only the first argument is lifted and rows are kept, a lifted axis is one more leading axis.
    """

    def lift(args: tuple, axes: tuple) -> tuple[jax.Array, int]:
        if keeps_rows and axes[1:] == (None,):
            return primitive.bind(jnp.moveaxis(args[0], axes[0], 0), args[1]), 0
        return jax.vmap(compute, axes)(*args), 0

    primitive.def_impl(jax.jit(compute))
    primitive.def_abstract_eval(lambda *args: args[0].update(shape=shape(*args), weak_type=False))
    mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
    batching.primitive_batchers[primitive] = lift


_define(_flat_dot, _dot, lambda x, kernel: (*x.shape[:-1], kernel.shape[-1]), keeps_rows=True)
_define(_flat_outer, _outer, lambda x, y: (x.shape[-1], y.shape[-1]), keeps_rows=False)
_define(_flat_add, _add, lambda x, bias: x.shape, keeps_rows=True)
_define(_flat_sum, _sum, lambda x: x.shape[-1:], keeps_rows=False)
ad.defbilinear(_flat_dot, lambda ct, x, kernel: _flat_dot.bind(ct, kernel.T), lambda ct, x, kernel: _flat_outer.bind(x, ct))
ad.defbilinear(_flat_outer, lambda ct, x, y: _flat_dot.bind(y, ct.T), lambda ct, x, y: _flat_dot.bind(x, ct))
ad.deflinear2(_flat_add, lambda ct, x, bias: [ct, _flat_sum.bind(ct)])
ad.deflinear2(_flat_sum, lambda ct, x: [jnp.broadcast_to(ct, x.aval.shape)])
