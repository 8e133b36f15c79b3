import contextlib
import importlib
import types

import numpy as np
import pytest

from nerf import run as running
from nerf.host import processes
from nerf.host.console import Progress
from nerf.host.processes import Interrupted, Interruption
from nerf.tasks.job import TaskOptions
from nerf.train import loop
from nerf.viewer import watching
from nerf.viewer.session import Sessions
from nerf.viewer.watching import Attentive

viewing = importlib.import_module('nerf.tasks.view')  # the package has a function of this name


def test_long_work_answers_browsers_between_its_blocks_and_still_stops(monkeypatch):
    user, done = Interruption(), []
    monkeypatch.setattr(watching, 'work', lambda *args, only_answers: done.append((*args, only_answers)))
    sessions = Sessions()
    attentive = Attentive(user, sessions, 'pictures', 'variables', lambda: done.append('checked'))
    attentive.check()
    assert done == ['checked', (sessions, 'pictures', 'variables', user.check, True)]
    assert not attentive.is_requested()
    user._remember(2, None)
    assert attentive.is_requested()
    with pytest.raises(Interrupted):
        attentive.check()
    assert len(done) == 2


@pytest.fixture
def trained(monkeypatch):
    """A training whose parts are recorded instead of done: the steps it takes, and the tasks that were run after it."""
    made = types.SimpleNamespace(step=5, ran=[])
    watcher = watching.Watcher(Sessions(), 'pictures')
    state = types.SimpleNamespace(params={'x': np.zeros(2)}, state={}, photos={})

    def train(config, scene, model_dir, interruption, hooks, is_profiled, legs):
        made.hooks = hooks
        state.step = made.step
        return state

    monkeypatch.setattr(loop, 'train', train)
    monkeypatch.setattr(running, 'save_run', lambda *args: ())
    monkeypatch.setattr(running, 'training_digest', lambda scene: '')
    monkeypatch.setattr(running, 'run_tasks', lambda names, *args: made.ran.append((names, *args)))
    made.watcher = watcher
    config = types.SimpleNamespace(num_steps=5, final_tasks=('test',))
    made.run = lambda viewer: running._run(config, None, None, None, 'runs/x', False, viewer)
    return made


@pytest.mark.parametrize('step', [3, 5])
@pytest.mark.parametrize('is_viewed', [True, False])
def test_the_page_stays_after_training_and_its_tasks(trained, monkeypatch, step, is_viewed):
    trained.step = step
    watcher = trained.watcher if is_viewed else None
    monkeypatch.setattr(running, 'watching', lambda *args: contextlib.nullcontext(watcher))
    trained.run('address')
    assert trained.hooks == ([watcher] if watcher else [])
    if step == 3:  # stopped by the user: the pages close at once
        assert trained.ran == []
        return
    (names, _, _, folder, interruption), *rest = trained.ran
    assert (names, folder, isinstance(interruption, Attentive)) == (('test',), 'runs/x', is_viewed)
    if not is_viewed:
        assert rest == []
        return
    ((names, _, _, _, interruption, options),) = rest
    assert (names, options.sessions is watcher.sessions) == (['view'], True)
    assert type(interruption) is processes.Interruption


@pytest.mark.parametrize('is_training', [True, False])
def test_pages_of_a_training_are_served_on_until_the_user_stops(stage, monkeypatch, is_training):
    made, user = [], Interruption()
    monkeypatch.setattr(viewing, 'Pictures', lambda *args: types.SimpleNamespace(prepare=made.append))
    monkeypatch.setattr(viewing, 'training', lambda scene: stage.cameras)
    monkeypatch.setattr(viewing, 'make_stage', lambda *args: stage)
    monkeypatch.setattr(viewing, 'serving', lambda *args: made.append(args) or contextlib.nullcontext())
    sessions = Sessions() if is_training else None

    def serve(sessions, pictures, variables, interruption, render):
        made.append((sessions, variables, interruption))
        made.append(sessions.reported)
        Progress('video frames', 1, is_quiet=True).advance()

    monkeypatch.setattr(viewing, 'serve', serve)
    config = types.SimpleNamespace(scene_type='unbounded', render_chunk=None)
    job = types.SimpleNamespace(
        trained=types.SimpleNamespace(config=config, model=None, step=7),
        options=TaskOptions(sessions=sessions),
        scene=None,
        background='white',
        occupancy=None,
        variables='variables',
        interruption=user,
        folder=stage.model_dir / 'render',
    )
    viewing.view(job)
    prepared, *opened, (served, variables, interruption), reported = made
    assert prepared == 'variables'
    assert len(opened) == (not is_training)
    assert (variables, interruption, reported) == ('variables', user, ('trained, 7 steps', None))
    assert served.reported == (reported if is_training else ('video frames 1/1', None))  # a training shares it already
    assert served is sessions or not is_training


def test_a_training_shows_its_progress_on_the_pages(monkeypatch):
    for name in ('training', 'subject_of', 'make_stage', 'Pictures'):
        monkeypatch.setattr(watching, name, lambda *args: None)
    monkeypatch.setattr(watching, 'serving', lambda *args: contextlib.nullcontext())
    data = types.SimpleNamespace(background='white')
    config = types.SimpleNamespace(data=data, scene_type='object', render_chunk=None)
    with watching.watching('address', None, None, config, 'x') as watcher:
        progress = Progress('training', 4, is_quiet=True)
        progress.advance('9.30 dB')
        assert watcher.sessions.reported == ('training 1/4, 9.30 dB', 0.25)
    with watching.watching(None, None, None, config, 'x') as watcher:
        assert watcher is None
