"""A few training steps on any number of forced devices and processes, to see that the numbers do not depend on it.

python -m nerf.lessons.few_steps --devices=2
python -m nerf.lessons.few_steps --devices=2 --processes=2 --process=0 --coordinator=localhost:1234    (and process 1)
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nerf.lessons.devices import force_cpu_devices


def few_steps(steps: int) -> dict[str, Any]:
    """Train the smallest mip-NeRF on all devices of all processes; its last batch's error, and its parameters."""
    import jax

    from configs import tiny
    from nerf import lifting
    from nerf.config import resolve
    from nerf.data import procedural
    from nerf.data.feed.batches import Batches, plain_batches
    from nerf.models import make_model
    from nerf.train.optimizer import make_optimizer
    from nerf.train.state import init_state
    from nerf.train.step import make_train_step

    config, scene = resolve(tiny.get_config('')), procedural.load(16)
    model, optimizer = make_model(config.model_name, config.model), make_optimizer(config)
    state, cameras = lifting.replicate((init_state(model, optimizer, scene.cameras, config.seed), scene.cameras))
    take_step = lifting.over_devices(make_train_step(model, optimizer, config))
    # Every process draws the same batch, a function of (seed, step), and keeps its own rows of it.
    rows = config.batch_size // jax.process_count()
    own = slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
    batches = plain_batches(scene, Batches(config.seed, config.batch_size), 0, own)
    for _ in range(steps):
        state, metrics = take_step(state, lifting.shard(next(batches)), cameras)
    sums = lifting.over_devices(lifting.sum_over_devices)(metrics['mse'])
    error, weight = lifting.unreplicate(sums)
    leaves = jax.tree.leaves(lifting.unreplicate(state.params))
    return {'mse': float(error / weight), 'parameters': np.concatenate([leaf.reshape(-1) for leaf in leaves]).tolist()}


def main(args: Sequence[str] | None = None) -> None:
    """Run the command: print error and parameters as JSON."""
    parser = argparse.ArgumentParser(
        prog='python -m nerf.lessons.few_steps', description='Train a few steps on forced devices.'
    )
    parser.add_argument('--devices', type=int, default=1, help='of each process')
    parser.add_argument('--steps', type=int, default=10)
    parser.add_argument('--processes', type=int, default=1)
    parser.add_argument('--process', type=int, default=0, help='number of this one')
    parser.add_argument('--coordinator', help='host:port of process 0')
    options = parser.parse_args(args)
    force_cpu_devices(options.devices)
    if options.processes > 1:
        import jax

        jax.distributed.initialize(options.coordinator, options.processes, options.process)
    print(json.dumps(few_steps(options.steps)))


if __name__ == '__main__':
    main()
