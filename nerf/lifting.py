"""The lift: from one sample to a ray's samples, from one ray to many, from one device to many.

The only file that says vmap, pmap or lax.map. It knows nothing of radiance fields.

| argument              | samples of a ray | rays of a device | devices    |
|-----------------------|------------------|------------------|------------|
| params                | shared           | shared           | replicated |
| ray, pixel            | shared           | mapped           | mapped     |
| t, Gaussians, points  | mapped           | -                | -          |
| key                   | -                | mapped (or None) | mapped     |
| progress              | -                | shared           | shared     |
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from flax import linen as nn

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
