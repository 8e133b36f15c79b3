"""A run that is killed again and again ends with the same bits."""

import time

import jax
import numpy as np
from commands import finish, start

from nerf.train.checkpoints import Checkpoints
from nerf.train.run_folder import load

FLAGS = ('--config.num_steps=300', '--config.eval_every=1000', '--config.final_tasks=()')


def test_killed_at_arbitrary_moments_and_resumed(tmp_path):
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    finish(start(straight, *FLAGS, '--config.checkpoint_every=300'))
    rng = np.random.default_rng(0)
    often = (*FLAGS, '--config.checkpoint_every=1')  # most moments are inside a save
    reached = []
    for _ in range(20):
        before = Checkpoints(str(broken / 'checkpoints')).steps()
        process = start(broken, *often)
        while not (steps := Checkpoints(str(broken / 'checkpoints')).steps()) or steps == before:
            time.sleep(0.05)
            assert process.poll() is None, process.communicate()[0]
        time.sleep(rng.uniform(0, 3))
        process.kill()
        process.wait()
        reached.append(Checkpoints(str(broken / 'checkpoints')).steps()[-1])
        if reached[-1] > 200 or len(reached) == 4:
            break
    output = finish(start(broken, *FLAGS, '--config.checkpoint_every=50'))[0]
    assert f'going on from the checkpoint of step {reached[-1]}' in output or reached[-1] == 300
    expected, found = load(str(straight)), load(str(broken))
    assert found.step == expected.step == 300
    jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)


def test_damaged_newest_checkpoints_fall_back(tmp_path):
    flags = ('--config.eval_every=1000', '--config.final_tasks=()', '--config.checkpoint_every=10')
    finish(start(tmp_path, *flags))

    def flipped(data):
        return data[:99] + bytes([data[99] ^ 1]) + data[100:]

    for step, damage in ((40, lambda data: data[: len(data) // 2]), (30, flipped)):
        file = tmp_path / f'checkpoints/step_{step:08d}/ckpt-1.flax'
        file.write_bytes(damage(file.read_bytes()))
    output = finish(start(tmp_path, *flags))[0]
    assert output.count('damaged checkpoint skipped') == 2
    assert 'going on from the checkpoint of step 20' in output
    assert load(str(tmp_path)).step == 40
