import jax
import numpy as np
import pytest

from nerf import lifting
from nerf.data.scene import stack_cameras
from nerf.errors import UserError
from nerf.models import make_model
from nerf.models.contract import example_rays
from nerf.models.mipnerf import MipNeRF
from nerf.ray.compositing import sample_positions
from nerf.ray.occupancy import Occupancy
from nerf.render import outputs
from nerf.render.image import Renderer

SMALL = {'num_samples': 6, 'depth': 1, 'width': 8, 'view_width': 4, 'position_degree': 2, 'view_degree': 1}
CAMERAS = stack_cameras(
    np.concatenate([np.eye(3), [[0.1], [0.2], [4.0]]], axis=1)[None],
    np.array([[[9.0, 0, 4], [0, 9.0, 3], [0, 0, 1]]]),
    np.array([[8, 6]]),
    2.0,
    6.0,
)


class WithExtras(MipNeRF):
    """mip-NeRF with two extras: a number and a vector of each sample."""

    def __call__(self, ray, key=None, progress=1.0, photo=None):
        levels = super().__call__(ray, key, progress)
        extras = lambda level: {'height': sample_positions(level), 'tint': 0.5 * level.rgb}  # noqa: E731
        return [level.replace(extras=extras(level)) for level in levels]


def rendered(model, **options):
    ray = jax.tree.map(lambda leaf: leaf[0], example_rays())
    variables = lifting.replicate(jax.jit(model.init)(jax.random.key(0), ray))
    return Renderer(model, 'black', chunk=16, **options).image(variables, CAMERAS.at(0))


def test_extras_of_a_model_are_maps_of_its_pictures():
    view = rendered(WithExtras(**SMALL))
    np.testing.assert_allclose(view['tint'], 0.5 * view['rgb'], rtol=1e-5)  # over black
    assert view['height'].shape == view['acc'].shape
    assert outputs.extras_of(WithExtras(**SMALL)) == ['height', 'tint']
    assert outputs.shown_by_default(view) == ['rgb', 'depth', 'acc', 'height', 'tint']
    for name in ('height', 'tint'):
        picture = outputs.show(name, view, CAMERAS.at(0))
        assert picture.shape == (6, 8, 3)
        assert picture.dtype == np.uint8
        assert np.ptp(picture) > 0
    np.testing.assert_array_equal(outputs.show('tint', view, CAMERAS.at(0)), np.round(255 * np.clip(view['tint'], 0, 1)))


def test_extras_are_there_where_everything_is_skipped():
    nothing = Occupancy(np.full(3, -1, np.float32), np.full(3, 1, np.float32), np.zeros((4, 4, 4), np.uint8))
    view = rendered(WithExtras(**SMALL), occupancy=nothing)
    np.testing.assert_array_equal(view['tint'], np.zeros((6, 8, 3)))


def test_a_quantity_of_samples_is_composited_by_the_weights(monkeypatch):
    def t_squared(level, ray):
        return sample_positions(level) ** 2

    output = outputs.Output('t_squared', lambda view, camera, limits: view['t_squared'], quantity=t_squared)
    monkeypatch.setitem(outputs.OUTPUTS, 'spread', output)
    assert outputs.quantities(['rgb', 'spread']) == {'t_squared': t_squared}
    model = WithExtras(**SMALL)
    view = rendered(model, quantities=outputs.quantities(['spread']))
    assert (view['t_squared'] <= 36 * view['acc'] + 1e-4).all()
    # By Jensen's inequality, with equality only where one sample has all the weight.
    assert (view['t_squared'] * view['acc'] >= view['height'] ** 2 - 1e-3).all()
    assert 't_squared' not in rendered(model)


@pytest.mark.parametrize('background', ['white', 'black'])
def test_transparent_pictures_over_the_background_are_the_pictures(background):
    ray = jax.tree.map(lambda leaf: leaf[0], example_rays())
    model = MipNeRF(**SMALL)
    variables = lifting.replicate(jax.jit(model.init)(jax.random.key(0), ray))
    view = Renderer(model, background, chunk=16, quantities=outputs.quantities(['rgba'])).image(variables, CAMERAS.at(0))
    assert 0.05 < view['acc'].mean() < 0.95
    picture = outputs.show('rgba', view, CAMERAS.at(0)) / 255
    colour, alpha = picture[..., :3], picture[..., 3:]
    behind = {'white': 1.0, 'black': 0.0}[background]
    np.testing.assert_allclose(alpha[..., 0], view['acc'], atol=0.003)
    np.testing.assert_allclose(alpha * colour + (1 - alpha) * behind, view['rgb'], atol=0.005)


def test_what_a_view_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"--show=roughness: the rendered view has no map 'roughness', expected one of rgb"):
        outputs.show('roughness', {'rgb': np.zeros((2, 2, 3))}, CAMERAS.at(0))


def test_models_of_the_package_have_no_extras():
    assert outputs.extras_of(make_model('mipnerf', SMALL)) == []
