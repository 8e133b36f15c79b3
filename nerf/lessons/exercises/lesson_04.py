"""Exercises of notebook 04, what a network can see."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs import mipnerf_small
from nerf.config import resolve
from nerf.data import procedural
from nerf.data.feed.batches import Batches, plain_batches
from nerf.data.scene import Scene
from nerf.lessons.exercise import Exercise, Mistake, given
from nerf.models import make_model
from nerf.ray.cameras import cast
from nerf.train.optimizer import learning_rate

SCHEDULE = {'learning_rate': 6e-3, 'final_learning_rate': 6e-4, 'warmup_steps': 100, 'decay_steps': None}
BATCHES = Batches(seed=3, batch_size=16)


@functools.cache
def _scene() -> Scene:
    return procedural.load(8)


def _count_parameters() -> int:
    """Count the parameters of notebook 00's model, from the shapes of its initialisation."""
    model = make_model('mipnerf', resolve(mipnerf_small.get_config('')).model)
    _, _, cameras = procedural.views(8)
    shapes = jax.eval_shape(model.init, jax.random.key(0), cast(jax.tree.map(jnp.asarray, cameras.at(0)), jnp.zeros(2)))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _rates() -> list[float]:
    """Evaluate the schedule of a run of 1200 steps after its warm-up, and at its end, in thousandths."""
    schedule = learning_rate(SCHEDULE, 1200)
    return [1e3 * float(schedule(100)), 1e3 * float(schedule(1200))]


def _seventh(batch: Callable[..., Any]) -> np.ndarray:
    """Return cameras and pixels of the batch that a reader's function makes for step 7, [16, 3]."""
    pixels = given(batch(BATCHES, _scene()))
    return np.concatenate([np.asarray(pixels.camera)[:, None], np.asarray(pixels.xy)], axis=1)


def _next_after(first_step: int, skip: int = 0) -> Callable[..., Any]:
    """Make an answer that starts an iterator at a step, and skips some batches."""

    def answer(batches: Batches, scene: Scene) -> Any:
        found = plain_batches(scene, batches, first_step)
        return [next(found) for _ in range(skip + 1)][-1]

    return answer


EXERCISES = {
    '04.1': Exercise(
        against="a count over the model's parameters",
        truth=_count_parameters,
        because='Coarse and fine are one network: mip-NeRF tells them apart by the width of their Gaussians alone.',
        mistakes=(
            Mistake(25_956 - 4 * 64 - 1 - 64 - 32 - 3, 'you left out the biases: one for each output of each layer.'),
            Mistake(2 * 25_956, 'that is two networks: mip-NeRF has one for both levels.'),
            Mistake(25_956 - 64 * 64 - 64, 'you left out the layer of 64 features between trunk and view direction.'),
            Mistake(25_956 - 27 * 32, 'you left out the 27 numbers of the view direction, which enter beside the 64 features.'),
        ),
        atol=0.5,
    ),
    '04.2': Exercise(
        against='closed form',
        truth=lambda: 2 * math.pi / 2**9,
        because='The finest of L octaves has frequency 2^(L-1): two points closer than about half its period look alike.',
        mistakes=(
            Mistake(2 * math.pi / 2**10, 'octaves are counted from 0: the tenth is l = 9.'),
            Mistake(2 / 2**9, 'you used the paper, with 2^l pi x: its code, and this one, leave pi out.'),
            Mistake(1 / 2**9, 'sin(k x) has the period 2 pi / k, not 1 / k.'),
        ),
        atol=1e-5,
    ),
    '04.3': Exercise(
        against="the optimiser's own schedule",
        truth=_rates,
        because='Decay is exponential from the first step: after the warm-up, a twelfth of the run, some of it has happened.',
        mistakes=(
            Mistake([6.0, 0.6], 'decay begins at step 0: after 100 of 1200 steps a factor of 0.1^(1/12) has been lost.'),
            Mistake([6.0 - 5.4 / 12, 0.6], 'the decay is exponential, not linear: equal factors in equal times.'),
            Mistake([0.06 * 0.1 ** (1 / 12), 0.6], 'that is the share with which the warm-up begins: at n = W it is over.'),
        ),
        atol=5e-3,
    ),
    '04.4': Exercise(
        against='closed form',
        truth=lambda: 10 * math.log10(4),
        because='The best constant is the mean, 1/2, with a squared error of 1/4 in every pixel: 6.02 dB is nothing learned.',
        mistakes=(
            Mistake(20 * math.log10(4), 'the squared error is (1/2)^2 = 1/4 already: do not square it again.'),
            Mistake(10 * math.log10(2), 'that is a squared error of 1/2, all black or all white: grey in between is better.'),
            Mistake(0.0, 'that is an error of 1 in every pixel: the best constant is off by 1/2.'),
            Mistake(-10 * math.log10(4), 'the sign: PSNR = -10 log10(mse).'),
        ),
        atol=0.01,
    ),
    '04.5': Exercise(
        against='an iterator that makes all batches before it',
        truth=lambda: _seventh(_next_after(0, 7)),
        because='A batch is a function of (seed, step): resuming needs a number, not the state of an iterator.',
        mistakes=(
            Mistake(_next_after(0), 'that is the batch of step 0.'),
            Mistake(_next_after(8), 'that is the batch of step 8: steps are counted from 0, and next gives the first.'),
            Mistake(_next_after(6), 'that is the batch of step 6: steps are counted from 0.'),
        ),
        read=_seventh,
        atol=1e-3,
    ),
}
