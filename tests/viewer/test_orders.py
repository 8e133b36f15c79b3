"""Videos that a page orders: by the button, through the queue, to the files."""

import importlib
import types

import numpy as np
import pytest
from imageio_ffmpeg import count_frames_and_secs

from nerf.data import procedural
from nerf.errors import UserError
from nerf.host.console import shared_progress
from nerf.host.processes import Interrupted, Interruption
from nerf.models import make_model
from nerf.paths.files import save_path_file
from nerf.tasks.job import Job, TaskOptions
from nerf.viewer import orders, watching, work
from nerf.viewer.orders import Order, Orders, Stopped, fulfil
from nerf.viewer.render_panel import HINT
from nerf.viewer.session import Sessions

viewing = importlib.import_module('nerf.tasks.view')  # the package has a function of this name


def order_of(said, **more):
    return Order('path.json', 'rgb', said.append, **more)


def test_orders_are_taken_in_turn_up_to_a_number_and_not_during_training(monkeypatch):
    queue, said = Orders(), []
    with pytest.raises(UserError, match='when the training is finished'):
        queue.place(order_of(said))
    queue.is_open = True
    monkeypatch.setattr(orders, 'MOST', 2)
    one, two = order_of(said), order_of(said)
    queue.place(one)
    queue.place(two)
    with pytest.raises(UserError, match='2 videos wait already'):
        queue.place(order_of(said))
    assert [queue.take(), queue.take(), queue.take()] == [one, two, None]


def fails(error):
    def render(order):
        raise error

    return render


def test_what_came_of_an_order_is_said_and_ends_nothing(caplog, monkeypatch):
    monkeypatch.setattr(orders.log_failure.__globals__['_log'], 'propagate', True)
    said = []
    fulfil(order_of(said), lambda order: ['a.mp4', 'b.mp4'])
    fulfil(order_of(said, is_stopped=True), fails(AssertionError('it was stopped before it began')))
    fulfil(order_of(said), fails(Stopped()))
    fulfil(order_of(said), fails(UserError('no such path')))
    fulfil(order_of(said), fails(ValueError('of\ntwo lines')))
    stopped = 'Stopped. Finished frames are kept: the same path goes on from there.'
    assert said == ['Video: a.mp4, b.mp4', stopped, stopped, 'no such path', 'Failed: see the log of the viewer.']
    assert caplog.messages == ['viewer: a video failed (ValueError: of two lines)']
    fulfil(Order('path.json', 'rgb', lambda text: 1 / 0), lambda order: [])  # its page is gone
    with pytest.raises(Interrupted):
        fulfil(order_of(said), fails(Interrupted()))


def test_videos_are_rendered_between_pictures_until_the_user_stops(monkeypatch):
    sessions, user, done, said = Sessions(), Interruption(), [], []
    monkeypatch.setattr(work, 'work', lambda *args: done.append('picture') or sessions.orders.place(order_of(said)))

    def render(order):
        assert sessions.orders.is_open
        done.append('video')
        if done.count('video') == 2:
            user._remember(2, None)
            user.check()
        return ['a.mp4']

    work.serve(sessions, 'pictures', 'variables', user, render)
    assert done == ['picture', 'video', 'picture', 'video']
    assert said == ['Video: a.mp4']


def test_the_button_orders_a_video_of_what_is_shown_and_stops_it(page, stage):
    client, sessions, _ = page
    button, said = client.controls['Render video'], client.controls[HINT]
    button.use()
    assert said.content.startswith('0 keyframes found')
    for x in (0, 1):
        client.camera.position = np.array([float(x), -9.0, 0.0])
        client.controls['Add keyframe'].use()
    client.controls['Show'].use('depth')
    button.use()
    assert said.content.startswith('Videos are rendered when the training is finished')
    assert button.label == 'Render video'
    sessions.orders.is_open = True
    button.use()
    assert button.label == 'Stop rendering'
    order = sessions.orders.take()
    assert (order.file, order.shown, order.is_stopped) == (stage.model_dir / 'path.json', 'depth', False)
    button.use()
    assert order.is_stopped
    assert sessions.orders.take() is None
    order.finished('Stopped.')
    assert (button.label, said.content) == ('Render video', 'Stopped.')
    button.use()
    assert sessions.orders.take() is not order


class GreyJob(Job):
    """A job whose pictures are grey."""

    def render(self, camera, with_normals=False):
        self.interruption.check()
        size = int(camera.height), int(camera.width)
        maps = dict.fromkeys(('acc', 'depth', 'distance', 'distance_median'), np.ones(size))
        return {**maps, 'rgb': np.full((*size, 3), 0.5)}


@pytest.fixture
def job(tmp_path):
    scene = procedural.load(16)
    config = types.SimpleNamespace(
        scene_type='object',
        skip_empty=True,
        data=types.SimpleNamespace(background='white'),
        video=types.SimpleNamespace(fps=10, num_frames=5),
    )
    model = make_model('mipnerf', {'num_samples': 4, 'depth': 1, 'width': 4, 'view_width': 2})
    trained = types.SimpleNamespace(step=7, config=config, model=model)
    save_path_file(str(tmp_path / 'path.json'), scene.cameras.at(np.arange(3)), 15)
    options = TaskOptions(show=('depth',), endings=('gif',), fps=3)
    return GreyJob(trained, None, None, None, None, scene, tmp_path / 'render', '', True, Interruption(), options)


def test_an_order_is_rendered_as_the_task_does_with_its_progress_on_the_pages(job, tmp_path, monkeypatch):
    sessions, answered, heard = Sessions(), [], []
    monkeypatch.setattr(watching, 'work', lambda *args, only_answers: answered.append(args))
    sessions.add(types.SimpleNamespace(report=lambda *report: heard.append(report)))
    order = Order(tmp_path / 'path.json', 'rgb', print)
    with shared_progress(sessions.report_progress):
        (video,) = viewing.render_order(job, order, sessions, 'pictures')
        assert video == tmp_path / 'render/video/file_step_7/rgb.mp4'
        assert count_frames_and_secs(video) == (3, pytest.approx(0.2))  # as fast as the path says
        assert len(answered) == 3  # browsers see other pictures meanwhile
        assert [share for _, share in heard] == [pytest.approx(1 / 3), None, None]
        assert [text[:16] for text, _ in heard] == ['video frames 1/3', 'video frames 3/3', 'trained, 7 steps']
        order.is_stopped = True
        save_path_file(str(tmp_path / 'path.json'), job.scene.cameras.at(np.arange(4)), 15)
        with pytest.raises(Stopped):
            viewing.render_order(job, order, sessions, 'pictures')
    assert video.exists()
    assert (tmp_path / 'render/video/file_step_7_2').is_dir()  # another path, which deletes nothing
    assert sessions.reported == ('trained, 7 steps', None)
