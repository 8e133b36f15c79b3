"""What is measured: one config's model on one batch of the built-in scene, lifted and written by hand for batches."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nerf import lifting
from nerf.benchmark import timing
from nerf.benchmark.hand_batched import REFERENCES
from nerf.data import procedural
from nerf.data.feed.batches import pixel_batch
from nerf.data.scene import Scene
from nerf.models import make_model
from nerf.models.pixel import render_pixel
from nerf.ray.background import background_colour, target_colour
from nerf.ray.cameras import Camera, cast
from nerf.ray.compositing import composite
from nerf.ray.losses import LOSSES
from nerf.ray.maths import split_key
from nerf.ray.structs import Array, Pixel, RenderedPixel
from nerf.train.optimizer import make_optimizer
from nerf.train.state import TrainState, init_state
from nerf.train.step import default_ray_chunk, pixel_terms, update


class Workload:
    """A config's model, state, and one batch of the built-in scene."""

    def __init__(self, config: Any, width: int = 100) -> None:
        """Initialise everything on the first device; images are `width` px wide."""
        self.config = config
        self.scene: Scene = procedural.load(width)
        self.model = make_model(config.model_name, config.model)
        self.optimizer = make_optimizer(config)
        self.state: TrainState = init_state(self.model, self.optimizer, self.scene.cameras, config.seed)
        batch = pixel_batch(self.scene, self.scene.indices('train'), config.seed, 0, config.batch_size)
        self.pixels: Pixel = jax.tree.map(jnp.asarray, batch)
        self.cameras: Camera = jax.tree.map(jnp.asarray, self.scene.cameras)
        self.keys = jax.random.split(jax.random.key(1), config.batch_size)
        self.batch = (self.pixels, self.keys)

    def lifted_loss(self, params: Any, pixels: Pixel, keys: Array) -> Array:
        """Sum of the losses of some pixels, written for one ray and lifted."""
        config = self.config

        def loss(pixel: Pixel, key: Array) -> Array:
            camera, progress = self.cameras.at(pixel.camera), jnp.zeros(())
            terms = pixel_terms(self.model, config, {'params': params}, camera, None, pixel, key, progress)
            return terms['loss']

        return jnp.sum(lifting.over_rays(loss)(pixels, keys))

    def hand_batched_loss(self, params: Any, pixels: Pixel, keys: Array) -> Array:
        """Sum of the losses of some pixels, with the model written for batches."""
        config = self.config

        def prepare(pixel: Pixel, key: Array) -> tuple:
            model_key, background_key = split_key(key, 2)
            return (
                cast(self.cameras.at(pixel.camera), pixel.xy),
                model_key,
                background_colour(config.data.background, background_key),
            )

        rays, keys, behind = lifting.over_rays(prepare)(pixels, keys)
        levels = REFERENCES[config.model_name](config.model)(params, rays, keys)

        def loss(levels: list, ray: Any, pixel: Pixel, behind: Array) -> Array:
            renderings = [composite(level, ray, behind) for level in levels]
            rendered = RenderedPixel(ray, levels, renderings, target_colour(pixel, behind), jnp.zeros(()))
            return sum(weight * LOSSES[name](rendered) for name, weight in config.losses.items())

        return jnp.sum(lifting.over_rays(loss)(levels, rays, pixels, behind))

    def training(self, loss: Callable[[Any, Pixel, Array], Array]) -> timing.Call:
        """Compile one whole update with this loss, whose gradient is computed in chunks of rays, as it is in training."""

        def step(state: TrainState, batch: tuple) -> TrainState:
            chunk = self.config.ray_chunk or default_ray_chunk(self.model, state.params)
            gradient = lifting.sum_over_chunks(functools.partial(jax.grad(loss), state.params), chunk)(*batch)
            return update(self.optimizer, state, {'model': jax.tree.map(lambda g: g / self.config.batch_size, gradient)})

        call = jax.jit(step)
        return lambda: call(self.state, self.batch)

    def lifted_render(self, params: Any, camera: Camera, xys: Array) -> Array:
        """Colours of the batch's pixels, written for one ray and lifted."""
        behind = background_colour(self.config.data.background, None)

        def colour(xy: Array) -> Array:
            _, _, renderings = render_pixel(self.model, {'params': params}, camera, xy, behind)
            return renderings[-1].rgb

        return lifting.over_rays(colour)(xys)

    def hand_batched_render(self, params: Any, camera: Camera, xys: Array) -> Array:
        """Colours of the batch's pixels, with the model written for batches."""
        rays = lifting.over_rays(lambda xy: cast(camera, xy))(xys)
        level = REFERENCES[self.config.model_name](self.config.model)(params, rays, None)[-1]
        behind = background_colour(self.config.data.background, None)
        return lifting.over_rays(lambda level, ray: composite(level, ray, behind).rgb)(level, rays)

    def rendering(self, render: Callable[[Any, Camera, Array], Array]) -> timing.Call:
        """Compile one forward pass of the batch's pixels."""
        call, camera = jax.jit(render), jax.tree.map(jnp.asarray, self.scene.camera(0))
        return lambda: call(self.state.params, camera, self.pixels.xy)
