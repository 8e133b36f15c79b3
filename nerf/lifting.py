"""Lifting turns a function of one ray into one of many: one sample to a ray's samples, one ray to many, one device to many.

The only file that says vmap, pmap, lax.map or lax.scan; no other has a batch axis. It contains nothing of radiance fields.

| argument              | samples of a ray | rays of a device | devices    |
|-----------------------|------------------|------------------|------------|
| params                | shared           | shared           | replicated |
| ray, pixel            | shared           | mapped           | mapped     |
| t, Gaussians, points  | mapped           | -                | -          |
| key                   | -                | mapped (or None) | mapped     |
| progress              | -                | shared           | shared     |
| state (not trained)   | shared           | shared           | replicated |
| photo                 | shared           | mapped           | mapped     |
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

DEVICES = 'devices'


def over_samples(function: Callable | nn.Module, in_axes: Any = 0) -> Callable:
    """Lift a function of ONE sample to the samples of a ray; a Linen module's parameters are shared between them."""
    if isinstance(function, nn.Module):
        call = nn.vmap(
            lambda module, *args: module(*args),
            in_axes=in_axes,
            variable_axes={'params': None, 'state': None},
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


def sum_over_chunks(function: Callable, chunk: int) -> Callable:
    """Lift sums over at most `chunk` rays (of a gradient, of terms) to sums over any number of rays of one device.

    sum_r f(r) = sum over chunks of sum_{r in the chunk} f(r), equal up to the order of summation. One chunk after the other
    bounds the memory without computing anything twice, and what is computed of a chunk stays in a cache.

    Args:
        function: of arguments with a leading axis of rays, whose results are sums over them.
        chunk: rays at a time, at most: the rays are divided into chunks of one size, and what is left.
    """

    def lifted(*rays: Any) -> Any:
        count = len(jax.tree.leaves(rays)[0])
        size = -(-count // -(-count // chunk))
        whole = count // size
        if whole == 1 and size == count:
            return function(*rays)
        chunks = jax.tree.map(lambda x: x[: whole * size].reshape(whole, size, *x.shape[1:]), rays)
        left = jax.tree.map(lambda x: x[whole * size :], rays)

        def add(sums: Any, rays: tuple) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, sums, function(*rays)), None

        if whole * size < count:
            start = function(*left)
        else:
            shapes = jax.eval_shape(function, *jax.tree.map(lambda x: x[0], chunks))
            start = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
        return jax.lax.scan(add, start, chunks)[0]

    return lifted


def over_devices(
    function: Callable, in_axes: Any = 0, donate: tuple[int, ...] = (), devices: Sequence[Any] | None = None
) -> Callable:
    """Lift a function of ONE device to all local devices (axis name `devices`, for sums across them).

    Other `devices` than those of this machine are for compiling ahead of time.

    Where `JAX_DISABLE_JIT=1` asks for one operation after the other, devices are but an axis: pmap would take minutes.
    """
    if jax.config.jax_disable_jit:
        return jax.vmap(function, in_axes, axis_name=DEVICES)
    return jax.pmap(function, DEVICES, in_axes=in_axes, donate_argnums=donate, devices=devices)


def sum_over_devices(tree: Any) -> Any:
    """Sum over all devices of all processes, inside `over_devices`."""
    return jax.lax.psum(tree, DEVICES)


def device_index() -> jax.Array:
    """Return the number of this device among all devices of all processes, [], inside `over_devices`."""
    return jax.lax.axis_index(DEVICES)


def replicate(tree: Any) -> Any:
    """Copy a tree to every local device, with a leading device axis."""
    return _copy()(np.arange(jax.local_device_count()), tree)


@functools.cache
def _copy() -> Callable[[Any, Any], Any]:
    # Over the axis of `over_devices`: copies on another axis would have what takes them compiled twice.
    return over_devices(lambda _, x: x, in_axes=(0, None))


def unreplicate(tree: Any) -> Any:
    """Return the first local device's copy as numpy arrays (indexing on the device would compile a slice for each shape)."""
    return jax.tree.map(lambda x: np.asarray(x.addressable_shards[0].data)[0], tree)


def shard(tree: Any) -> Any:
    """Split leading axes [rays] into [local devices, rays per device].

    Raises:
        ValueError: if the rays cannot be divided evenly (pmap alone would silently leave devices out).
    """
    devices = jax.local_device_count()

    def split(x: Any) -> Any:
        if x.shape[0] % devices:
            raise ValueError(f'{x.shape[0]} rays cannot be divided between {devices} devices: use a multiple of {devices}')
        return x.reshape(devices, x.shape[0] // devices, *x.shape[1:])

    return jax.tree.map(split, tree)


class Blocks:
    """A function of ONE ray, lifted to any number of rays over all devices of all processes, in equal blocks.

    A block is `size` rays, one compiled call over all devices; each device computes its part `chunk` rays at a time.

    What was compiled for one block is used for all of them: the last is padded. All processes give the same rays, take part
    in each block, and get all results.
    """

    def __init__(self, function: Callable, chunk: int, rays_per_block: int) -> None:
        """Lift `function(replicated, shared, *ray)`.

        Args:
            function: of ONE ray's arguments, behind a tree that is the same for all rays and replicated (parameters), and one
                that is the same for all rays (a camera).
            chunk: rays computed at a time on each device.
            rays_per_block: of each device, after which the caller is told (and may interrupt).
        """

        def of_device(replicated: Any, shared: Any, rays: tuple) -> Any:
            return jax.lax.all_gather(in_chunks(lambda *ray: function(replicated, shared, *ray), chunk)(*rays), DEVICES)

        self._lifted = over_devices(of_device, in_axes=(0, None, 0))
        self._chunk, self._rays_per_block = chunk, rays_per_block

    def size(self, count: int | None = None) -> int:
        """Return the rays of one block over all devices, in whole chunks; for this count of rays, so that few are padded."""
        # blocks = ceil(count / largest), chunks of each = ceil(count / (blocks * chunk)).
        chunk = self._chunk * jax.device_count()
        largest = chunk * max(1, self._rays_per_block // self._chunk)
        if count is None:
            return largest
        return chunk * -(-count // (-(-count // largest) * chunk))

    def __call__(
        self, replicated: Any, shared: Any, *rays: np.ndarray, size: int, between: Callable[[], None] = lambda: None
    ) -> Any:
        """Compute the function for all rays; the results are numpy arrays [rays, ...].

        Args:
            replicated: a tree with a leading device axis, see `replicate`.
            shared: a tree that is the same for all rays.
            rays: arguments of each ray, [rays, ...], at least one.
            size: rays of one block, as `size` gives it.
            between: called after each block; what it raises ends the call.
        """
        count, local = len(rays[0]), size // jax.process_count()
        blocks = []
        for start in range(0, count, size):
            first = start + jax.process_index() * local
            numbers = np.minimum(np.arange(first, first + local), count - 1)
            gathered = unreplicate(self._lifted(replicated, shared, tuple(shard([each[numbers] for each in rays]))))
            blocks.append(jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), gathered))
            between()
        return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *blocks)
