import logging
import types

import jax
import pytest

from nerf.train import reports

log = logging.getLogger('nerf')


@pytest.mark.parametrize(('done', 'num_steps', 'traced'), [(0, 40, (8, 12)), (0, 4, (2, 4)), (20, 24, (22, 24)), (0, 1, ())])
def test_a_training_of_any_length_is_profiled(monkeypatch, caplog, done, num_steps, traced):
    """From the first step on, which compiles; the log says where the trace is."""
    called, steps = [], []
    monkeypatch.setattr(jax.profiler, 'start_trace', lambda folder: called.append('start'))
    monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: called.append('stop'))
    monkeypatch.setattr(log, 'propagate', True)
    profile = reports.Profile('logs/x', done, num_steps)
    with caplog.at_level(logging.INFO):
        for step in range(done + 1, num_steps + 1):
            count = len(called)
            profile(step, types.SimpleNamespace(step=jax.numpy.int32(step)))
            steps += [step] * (len(called) - count)
    assert called == ['start', 'stop'][: len(traced)]
    assert (steps[0] + 1, steps[1]) == traced if traced else not steps
    said = f'trace of steps {traced[0]} to {traced[1]}: logs/x/plugins/profile' if traced else 'none to trace'
    assert said in caplog.text
