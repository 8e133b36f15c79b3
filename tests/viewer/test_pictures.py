import dataclasses
import types

import jax
import numpy as np
import pytest

from configs import tiny
from nerf import lifting
from nerf.config import resolve
from nerf.data.scene import stack_cameras
from nerf.host.processes import Interrupted
from nerf.models import make_model
from nerf.ray.occupancy import Occupancy
from nerf.render.image import Renderer
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state
from nerf.viewer import failures, work
from nerf.viewer.pictures import LABELS, SIZES, Pace, Pictures, Settings, finer, to_show
from nerf.viewer.session import Sessions
from nerf.viewer.views import View, camera_of, from_browser, shape_of
from nerf.viewer.watching import Watcher

LENS = np.array([[20.0, 0, 8], [0, 20.0, 8], [0, 0, 1]])
POSE = from_browser(np.array([0.1, 1.0, 0.2, 0.0]) / np.sqrt(1.05), np.array([0.2, -0.4, 4.0]))
VIEW = View(POSE, 0.7, 1.5)


@pytest.fixture(scope='module')
def trained():
    config = resolve(tiny.get_config())
    model = make_model(config.model_name, config.model)
    cameras = stack_cameras(POSE[None], LENS[None], np.array([[16, 16]]), 2.0, 6.0)
    state = init_state(model, make_optimizer(config), cameras, seed=0)
    return model, lifting.replicate(state.variables), cameras


@pytest.fixture(scope='module')
def pictures(trained):
    model, variables, cameras = trained
    made = Pictures(model, 'white', cameras)
    made.prepare(variables)
    return made


class Page:
    def __init__(self, while_showing=lambda page: None):
        self.shown, self.said, self._while_showing = [], [], while_showing

    def show(self, picture, depth):
        self.shown.append(picture)
        self.depth = depth
        self._while_showing(self)

    def say(self, text):
        self.said.append(text)


def test_the_picture_of_a_view_is_the_renderers_of_its_camera(trained, pictures):
    model, variables, _ = trained
    found = pictures.render(variables, VIEW, Settings(), 1024)
    width, height = shape_of(1024, 1.5)
    focal = 0.5 * height / np.tan(0.35)
    lens = np.array([[0.5 * width / (np.tan(0.35) * 1.5), 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    camera = stack_cameras(POSE[None], lens[None], np.array([[width, height]]), 2.0, 6.0)
    camera = jax.tree.map(lambda field: field[0], camera)
    expected = Renderer(model, 'white').image(variables, camera)
    assert found['rgb'].shape == (height, width, 3)
    assert np.ptp(expected['rgb']) > 0.01
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


def test_other_levels_are_rendered(trained, pictures):
    _, variables, _ = trained
    coarse = Settings(level=-2)
    assert not pictures.is_ready(coarse)
    pictures.prepare(variables, coarse)
    found, fine = pictures.render(variables, VIEW, coarse, 1024), pictures.render(variables, VIEW, Settings(), 1024)
    assert np.abs(found['acc'] - fine['acc']).max() > 1e-4


def test_nothing_is_compiled_while_looking_around(trained):
    model, variables, cameras = trained
    grid = Occupancy(np.full(3, -1, np.float32), np.full(3, 1, np.float32), np.ones((4, 4, 4), np.uint8))
    made = Pictures(model, 'white', cameras, occupancy=grid)
    made.prepare(variables)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    for size in SIZES[:5]:
        for aspect in (0.6, 1.0, 1.9):
            made.render(variables, dataclasses.replace(VIEW, aspect=aspect), Settings(), size)
    jax.monitoring.clear_event_listeners()
    assert not [name for name in compiled if 'compile' in name]


def test_the_size_of_an_answer_follows_what_pictures_took():
    pace = Pace()
    assert pace.affordable(0.2, SIZES[-1]) == 1024  # nothing is known: the least
    pace.took(1024, 0.1)  # 10 240 a second
    assert pace.affordable(0.2, SIZES[-1]) == 2048
    assert pace.affordable(0.81, SIZES[-1]) == 8192
    assert pace.affordable(0.81, 4096) == 4096
    pace.took(65536, 0.01)  # empty space
    assert pace.affordable(0.2, SIZES[-1]) == 2048
    for _ in range(4):
        pace.took(1024, 0.01)
    assert pace.affordable(0.2, SIZES[-1]) == 16384
    pace.took(1024, 60.0)
    assert pace.affordable(0.2, SIZES[-1]) == 1024


def test_pictures_become_four_times_as_large_up_to_the_limit():
    assert [finer(size, 65536) for size in (1024, 8192, 32768, 65536, 131072)] == [4096, 32768, 65536, None, None]
    assert finer(1024, 5000) == 4096
    assert finer(1024, 10) is None


def test_errands_end_on_the_page_and_a_move_ends_a_refinement(trained, pictures, monkeypatch):
    _, variables, _ = trained
    sessions = Sessions()
    page = Page()
    session = sessions.add(page)
    sessions.change(session, VIEW, Settings(shown='depth', most=65536))
    monkeypatch.setattr(pictures, 'answer_size', lambda settings: 1024)
    assert work.work(sessions, pictures, variables)
    blocks = []

    def check():
        blocks.append(1)
        if len(blocks) == 3:
            sessions.change(session, dataclasses.replace(VIEW, fov=0.2))

    assert work.work(sessions, pictures, variables, check)
    assert (len(page.shown), len(blocks)) == (1, 3)
    assert work.work(sessions, pictures, variables)
    expected = [
        to_show(pictures.render(variables, view, Settings(), 1024), camera_of(view, (39, 26), pictures.cameras), 'depth')
        for view in (VIEW, dataclasses.replace(VIEW, fov=0.2))
    ]
    assert len(page.shown) == 2
    for found, picture in zip(page.shown, expected, strict=True):
        np.testing.assert_array_equal(found, picture)
    assert page.said[0].startswith('39 x 26 px in ')
    sessions.remove(session)
    assert not work.work(sessions, pictures, variables)


def test_where_nothing_is_nothing_hides_what_is_drawn(trained, pictures, monkeypatch):
    _, variables, _ = trained
    sessions, page = Sessions(), Page()
    sessions.change(sessions.add(page), VIEW)
    seen = {'rgb': np.zeros((1, 2, 3)), 'acc': np.array([[0.9, 0.2]]), 'depth': np.array([[3.0, 6.0]])}
    monkeypatch.setattr(pictures, 'render', lambda *args: seen)
    assert work.work(sessions, pictures, variables)
    assert page.depth.tolist() == [[3, np.inf]]


def test_a_camera_that_turns_its_back_on_a_forward_facing_scene_gets_a_sentence(trained):
    model, variables, cameras = trained
    made = Pictures(model, 'white', cameras.replace(ndc=np.array([[2.5, 2.5]], np.float32)))
    made._kinds[-1, False] = types.SimpleNamespace(pace=Pace())  # would fail if anything were rendered
    sessions, page = Sessions(), Page()
    sessions.change(sessions.add(page), View(from_browser(np.array([1.0, 0, 0, 0]), np.zeros(3)), 0.7, 1.0))
    assert work.work(sessions, made, variables)
    assert 'turn back' in page.said[-1]
    assert page.shown[-1].tolist() == [[[128, 128, 128]]]
    assert not work.work(sessions, made, variables)


def test_training_is_shown_only_while_someone_looks_and_takes_its_share(trained, pictures, monkeypatch):
    _, variables, _ = trained
    sessions, page = Sessions(), Page()
    watcher, state = Watcher(sessions, pictures), types.SimpleNamespace(variables=variables, step=np.zeros(1))
    monkeypatch.setattr(pictures, 'render', lambda *args: pytest.fail('nobody looks'))
    watcher(1, state)
    monkeypatch.undo()
    session = sessions.add(page)
    sessions.change(session, VIEW)
    watcher(2, state)
    assert len(page.shown) == 1
    watcher._pause_until = np.inf
    watcher(3, state)
    assert len(page.shown) == 1  # its share of the time is used up, and nobody moved
    sessions.change(session, dataclasses.replace(VIEW, fov=0.2))
    watcher(4, state)
    assert len(page.shown) == 2  # a move is answered at once
    watcher._pause_until = 0.0
    watcher(5, state)
    assert len(page.shown) == 3  # what was learned since


def test_who_moves_all_the_time_is_shown_something(trained, pictures, monkeypatch):
    _, variables, _ = trained
    sessions, page = Sessions(), Page()
    session = sessions.add(page)
    sessions.change(session, VIEW)
    monkeypatch.setattr(pictures, 'answer_size', lambda settings: 4096)
    for i in range(3):
        assert work.work(
            sessions, pictures, variables, lambda i=i: sessions.change(session, dataclasses.replace(VIEW, fov=0.2 + i))
        )
    assert len(page.shown) == 3


@pytest.mark.parametrize('odd', [{'fov': 0.0}, {'aspect': 0.0}, {'aspect': np.nan}])
def test_a_request_that_fails_is_logged_and_ends_neither_viewer_nor_training(trained, pictures, caplog, monkeypatch, odd):
    _, variables, _ = trained
    monkeypatch.setattr(failures._log, 'propagate', True)
    sessions, page = Sessions(), Page()
    session = sessions.add(page)
    sessions.change(session, dataclasses.replace(VIEW, **odd))
    assert work.work(sessions, pictures, variables)
    (record,) = caplog.records
    assert record.getMessage().startswith('viewer: a picture failed (')
    assert '\n' not in record.getMessage()
    assert record.exc_info is None
    state = types.SimpleNamespace(variables=variables, step=np.zeros(1))
    Watcher(sessions, pictures)(1, state)  # nor this
    assert page.shown == []
    sessions.change(session, VIEW)
    assert work.work(sessions, pictures, variables)
    assert len(page.shown) == 1


def test_a_refinement_that_fails_is_not_tried_again(trained, pictures, monkeypatch):
    _, variables, _ = trained
    sessions, page = Sessions(), Page()
    sessions.change(sessions.add(page), VIEW)
    monkeypatch.setattr(pictures, 'answer_size', lambda settings: 1024)
    assert work.work(sessions, pictures, variables)
    monkeypatch.setattr(page, 'show', lambda *args: 1 / 0, raising=False)
    assert work.work(sessions, pictures, variables)
    assert not work.work(sessions, pictures, variables)


def test_an_interruption_is_no_failure(trained, pictures):
    _, variables, _ = trained
    sessions = Sessions()
    sessions.change(sessions.add(Page()), VIEW)

    def interrupt():
        raise Interrupted

    with pytest.raises(Interrupted):
        work.work(sessions, pictures, variables, interrupt)


def test_the_page_offers_what_its_renderers_make(trained, pictures):
    picture = pictures.render(trained[1], VIEW, Settings(), SIZES[0])
    for shown in LABELS.values():
        if shown not in ('normals', 'normals_camera'):
            assert to_show(picture, pictures.camera(VIEW, SIZES[0]), shown).shape[-1] == 3
    assert 'rgba' not in LABELS.values()
