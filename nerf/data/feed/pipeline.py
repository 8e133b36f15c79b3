"""Batches of pixels made ahead of time by `tf.data`, while the devices compute earlier ones."""

import atexit
import weakref
from collections.abc import Iterator

import jax
import numpy as np

from nerf.data.feed.batches import Batches
from nerf.data.feed.quiet_tensorflow import tf
from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.ray.structs import Pixel

AHEAD = 4  # batches
FIELDS = jax.tree.structure(Pixel(camera=0, xy=0, rgba=0, weight=0))
TYPES = (tf.int32, tf.float32, tf.uint8, tf.float32)  # of the fields, in this order


def batches(scene: Scene, spec: Batches, first_step: int, rows: slice, devices: int) -> Iterator[Pixel]:
    """Yield the batches of `plain_batches`, bit for bit, with leading axes [devices, rays of a device].

    Args:
        scene: source of the pixels, which are those of its training images.
        spec: the choice of the pixels of each batch.
        first_step: step of the first batch; starting later costs no time.
        rows: the rows of the global batch that belong to this process.
        devices: number of devices of this process.

    Raises:
        UserError: the rows cannot be divided evenly between the devices, or there are none.
    """
    count = len(range(spec.batch_size)[rows])
    if count == 0 or count % devices:
        raise UserError(f'batch_size gives {count} rays to {devices} devices of a process; use a multiple of the devices')
    images = scene.indices('train')

    def of_step(step: np.ndarray) -> list[np.ndarray]:
        mine = jax.tree.map(lambda field: field[rows].reshape(devices, -1, *field.shape[1:]), spec.at(scene, images, int(step)))
        return jax.tree.leaves(mine)

    running = tf.Variable(True)
    steps = tf.data.Dataset.range(first_step, tf.int64.max).take_while(lambda _: running)
    made = steps.map(lambda step: tf.numpy_function(of_step, [step], TYPES, stateful=False))
    return _Ahead(made.prefetch(AHEAD), running)


class _Ahead:
    """Iterator over a dataset of leaves; closed before Python exits, as a batch still being made would then hang."""

    def __init__(self, made: tf.data.Dataset, running: tf.Variable) -> None:
        self._leaves, self._running = made.as_numpy_iterator(), running
        _OPEN.add(self)

    def __iter__(self) -> Iterator[Pixel]:
        return self

    def __next__(self) -> Pixel:
        return jax.tree.unflatten(FIELDS, next(self._leaves))

    def close(self) -> None:
        """Stop making batches, and wait until those that were started are made."""
        self._running.assign(False)
        for _ in self._leaves:
            pass


_OPEN: weakref.WeakSet[_Ahead] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for each in list(_OPEN):
        each.close()
