"""Members that prove the places of a photo's numbers and of kept state; nothing in the package uses them."""

import jax.numpy as jnp

from configs import tiny
from nerf.config import resolve
from nerf.models import MODELS
from nerf.models.mipnerf import MipNeRF
from nerf.ray.photos import PHOTO_NUMBERS, PhotoNumbers


class TintedAndCounting(MipNeRF):
    """mip-NeRF that adds a photo's tint to its colours, and counts the steps of its training in `state`."""

    def setup(self):
        super().setup()
        self.count = self.variable('state', 'count', lambda: jnp.zeros((), jnp.int32))

    def __call__(self, ray, key=None, progress=1.0, photo=None):
        levels = super().__call__(ray, key, progress)
        return levels if photo is None else [level.replace(rgb=level.rgb + photo['tint'][None]) for level in levels]

    def update_state(self, key, progress):
        self.count.value += 1


def move(camera, shift):
    """Move a camera along the world's x and y."""
    return camera.replace(camera_to_world=camera.camera_to_world.at[:2, 3].add(shift))


MEMBERS = {
    'shift': PhotoNumbers(2, camera=move),
    'tint': PhotoNumbers(3),
    'gain': PhotoNumbers(1, start=1.0, colour=lambda rgb, gain: gain[0] * rgb),
}


def register():
    """Register the members as anyone would, one line each."""
    MODELS['tinted'] = TintedAndCounting
    PHOTO_NUMBERS.update(MEMBERS)


def unregister():
    """Take the members out again."""
    del MODELS['tinted']
    for name in MEMBERS:
        del PHOTO_NUMBERS[name]


def make_config(num_steps=12):
    """A tiny config that trains them all."""
    config = tiny.get_config()
    config.model_name, config.num_steps, config.log_every, config.final_tasks = 'tinted', num_steps, 1, ()
    config.photos = {name: {'learning_rate': 1e-2, 'final_learning_rate': 1e-3, 'warmup_steps': 2} for name in MEMBERS}
    return resolve(config)
