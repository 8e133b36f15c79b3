import types

import numpy as np
import pytest

from configs import tiny
from nerf.config import resolve
from nerf.data import procedural
from nerf.data.scene import Scene
from nerf.models import make_model
from nerf.viewer import failures
from nerf.viewer import stage as stages
from nerf.viewer.panel import Panel
from nerf.viewer.session import Sessions
from nerf.viewer.views import to_browser


@pytest.fixture
def stage(tmp_path):
    config = resolve(tiny.get_config())
    names, split, cameras = procedural.views(16)
    pixels = np.zeros((len(names) * 256, 4), np.uint8)
    pixels[:256, :3] = np.arange(256)[:, None]
    pixels[..., 3] = 255
    model = make_model('instant', {'num_proposal': 4, 'num_samples': 4})
    return stages.make_stage(model, Scene(names, split, pixels, cameras), config, str(tmp_path))


class Control:
    """A control of a page: has what it was made with, and calls back when it is used."""

    def __init__(self, *args, initial_value=None, **more):
        self.value = args[-1] if initial_value is None else initial_value
        self.options, self.min, self.max = (*args, ())[1], 0, 180
        self.callbacks, self.content, self.visible = [], '', more.get('visible', True)
        self.more, self.is_gone = more, False
        self.on_update = self.on_click = self.callbacks.append

    def use(self, value=None):
        self.value = self.value if value is None else value
        for callback in self.callbacks:
            callback(None)

    def remove(self):
        self.is_gone = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Client:
    """What a panel needs of viser's client, without a browser."""

    def __init__(self):
        self.controls, self.marks, self.pictures, self.downloads, self.removed = {}, {}, [], [], []
        self.gui = self.scene = self
        wxyz, position = to_browser(np.array([[1.0, 0, 0, 0], [0, 0, -1, -9], [0, 1, 0, 0]]))
        self.camera = types.SimpleNamespace(wxyz=wxyz, position=position, fov=0.8, aspect=1.5, moved=[])
        self.camera.on_update = self.camera.moved.append

    def __getattr__(self, name):
        if not name.startswith('add_'):
            raise AttributeError(name)

        def add(label='', *args, **more):
            return self.controls.setdefault(label, Control(label, *args, **more))

        return add

    def add_camera_frustum(self, name, *args, **more):
        return self.marks.setdefault(name, Control(name, *args, **more))

    def set_background_image(self, picture, *_, depth, **__):
        self.pictures.append((picture, depth))

    def remove_by_name(self, name):
        self.removed.append(name)

    def send_file_download(self, name, content, save_immediately):
        self.downloads.append((name, content, save_immediately))

    def flush(self):
        pass

    def atomic(self):
        return Control('')


@pytest.fixture
def said(caplog, monkeypatch):
    """What the viewer says."""
    monkeypatch.setattr(failures._log, 'propagate', True)
    caplog.set_level('INFO', logger='nerf')
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.fixture
def page(stage):
    client, sessions = Client(), Sessions()
    return client, sessions, Panel(client, stage, sessions)


@pytest.fixture
def new_client():
    """Make what a panel needs of another browser."""
    return Client
