import dataclasses
import json
import types

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest

from nerf.data.scene import make_scene, stack_cameras
from nerf.render.metrics import METRICS, Metric
from nerf.tasks import test as views
from nerf.tasks.job import TaskOptions

WIDTHS = (32, 16)


def scene_of(widths):
    """A training view, then two grey test views of each width."""
    sizes = np.array([(8, 8), *((width, width) for width in widths for _ in range(2))])
    images = [np.full((height, width, 4), (100, 100, 100, 255), np.uint8) for width, height in sizes]
    count = len(sizes)
    cameras = stack_cameras(np.tile(np.eye(3, 4), (count, 1, 1)), np.tile(np.eye(3), (count, 1, 1)), sizes, 1.0, 2.0)
    names = ['train_a', *(f'test_r_{i}_d{d}' for d in range(len(widths)) for i in range(2))]
    return make_scene(names, ['train', *['test'] * (count - 1)], images, cameras)


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Metrics of predictions that are off by 1, 2, 4, ... of 255."""

    for name in ('lpips_alex', 'lpips_vgg'):
        monkeypatch.setitem(METRICS, name, dataclasses.replace(METRICS[name], is_installed=lambda: False))

    def measure(widths, used=None):
        scene = dataclasses.replace(scene_of(widths), used=used)
        test = [int(i) for i in scene.indices('test')]
        for i in test:
            picture = np.full_like(scene.image(i)[..., :3], 100 + 2 ** (i - 1))
            picture[: 0 if used is None else 5] = 0
            imageio.imwrite(tmp_path / f'{scene.stem(i)}_rgb.png', picture)
        config = types.SimpleNamespace(scene='toy', model_name='mipnerf')
        trained = types.SimpleNamespace(step=7, config=config)
        asked = types.SimpleNamespace(check=lambda: None)
        job = types.SimpleNamespace(scene=scene, background='white', trained=trained, skip_empty=True, interruption=asked)
        views.write_metrics(job, tmp_path, test)
        return json.loads((tmp_path / 'metrics.json').read_text()), pd.read_csv(tmp_path / 'metrics.csv')

    return measure


def off_by(*errors):
    return np.mean([20 * np.log10(255 / error) for error in errors])


def test_views_of_several_sizes_are_reported_by_size(measured, caplog, monkeypatch):
    monkeypatch.setattr(views._log, 'propagate', True)
    with caplog.at_level('INFO', logger='nerf'):
        report, table = measured(WIDTHS)
    assert report['mean']['psnr'] == pytest.approx(off_by(1, 2, 4, 8))
    assert list(report['by_width']) == ['32', '16']
    assert report['by_width']['32']['psnr'] == pytest.approx(off_by(1, 2))
    assert report['by_width']['16']['psnr'] == pytest.approx(off_by(4, 8))
    assert report['by_width']['16']['ssim'] < report['by_width']['32']['ssim'] < 1
    assert table.groupby('width').psnr.mean().to_dict() == pytest.approx({32: off_by(1, 2), 16: off_by(4, 8)})
    lines = [record.getMessage() for record in caplog.records]
    said = [line for line in lines if 'px wide' in line]
    for line, (width, psnr) in zip(said, (('32', off_by(1, 2)), ('16', off_by(4, 8))), strict=True):
        ssim = report['by_width'][width]['ssim']
        assert line.startswith(f'   {width} px wide: PSNR {psnr:.2f} dB, SSIM {ssim:.3f}')


def test_views_of_one_size_are_not(measured):
    report, table = measured(WIDTHS[:1])
    assert 'by_width' not in report
    assert table.width.tolist() == [32, 32]


def test_what_small_views_lack_is_left_out_and_said(measured, caplog, monkeypatch):
    monkeypatch.setattr(views._log, 'propagate', True)
    with caplog.at_level('INFO', logger='nerf'):
        report, table = measured((24, 12, 6))
    assert report['left_out'] == {'ssim': '2 of 6 images: smaller than 11 px'}
    assert 'SSIM is left out of 2 of 6 images: smaller than 11 px' in [each.getMessage() for each in caplog.records]
    assert report['mean']['ssim'] == pytest.approx(np.mean([report['by_width'][width]['ssim'] for width in ('24', '12')]))
    assert list(report['by_width']['6']) == ['psnr']
    assert table.ssim.isna().tolist() == [False] * 4 + [True] * 2
    json.dumps(report, allow_nan=False)


def test_the_five_worst_views_are_named(measured):
    report, _ = measured((24, 12, 6))
    assert [each['image'] for each in report['worst']] == [f'r_{i}_d{d}' for d, i in ((2, 1), (2, 0), (1, 1), (1, 0), (0, 1))]
    assert report['worst'][0]['psnr'] == pytest.approx(off_by(32))


def test_metrics_that_are_installed_are_in_all_files(measured, monkeypatch):
    error = Metric(lambda p, t: float(np.abs(p.astype(float) - t).mean()), 'mean error', 1, 'mean error of 8 bit')
    monkeypatch.setitem(METRICS, 'error', error)
    report, table = measured(WIDTHS)
    assert report['mean']['error'] == table.error.mean() == 15 / 4
    assert report['by_width']['16']['error'] == 6
    assert report['protocol'].endswith('; mean error of 8 bit')
    assert 'LPIPS' not in report['protocol']
    assert not [name for name in report['mean'] if name.startswith('lpips')]


def test_transparent_pictures_are_made_of_test_views_that_lack_them(tmp_path):
    scene = scene_of((16,))
    made = []

    def render(camera):
        made.append(camera)
        acc = np.full((16, 16), 0.5, np.float32)
        rgb = np.full((16, 16, 3), 0.75 + 0.01 * (len(made) > 2), np.float32)
        return {'rgb': rgb, 'acc': acc, 'depth': acc, 'rgba': np.concatenate([0 * rgb + 0.25, acc[..., None]], axis=-1)}

    def job(*show):
        config = types.SimpleNamespace(scene='toy', model_name='mipnerf')
        return types.SimpleNamespace(
            scene=dataclasses.replace(scene, pixels=scene.pixels[:0]),
            background='white',
            trained=types.SimpleNamespace(step=7, config=config, run=types.SimpleNamespace(data_dir='gone')),
            skip_empty=True,
            options=types.SimpleNamespace(show=show, split='test'),
            result_folder=lambda *args: tmp_path,
            render=render,
        )

    views.render_test(job('rgb'))
    assert not list(tmp_path.glob('*_rgba.png'))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for _ in range(2):  # the second time, all of it is there
        views.render_test(job('rgb', 'rgba'))
        assert len(made) == 4
    found = imageio.imread(tmp_path / 'r_0_d0_rgba.png')
    assert found[3, 3].tolist() == [128, 128, 128, 128]
    assert {path: path.read_bytes() for path in before} == before


def test_with_masks_both_figures_are_told(measured, caplog, monkeypatch):
    monkeypatch.setattr(views._log, 'propagate', True)
    used = np.ones(64 + 2 * 32 * 32, bool)
    for i in range(2):
        used[64 + i * 32 * 32 :][: 5 * 32] = False  # the first five rows, where the predictions are black
    with caplog.at_level('INFO', logger='nerf'):
        report, table = measured(WIDTHS[:1], used)
    assert report['mean']['masked_psnr'] == pytest.approx(off_by(1, 2))
    assert report['mean']['psnr'] < 20
    assert table.masked_psnr.tolist() == pytest.approx([off_by(1), off_by(2)])
    assert report['mean']['masked_ssim'] > report['mean']['ssim'] + 0.1
    assert 'masked_psnr, masked_ssim: over the pixels that no mask takes out' in report['protocol']
    assert f'; without masked pixels PSNR {off_by(1, 2):.2f} dB, SSIM ' in caplog.text


def test_without_masks_there_is_one_figure(measured):
    report, _ = measured(WIDTHS[:1])
    assert list(report['mean']) == ['psnr', 'ssim']
    assert 'masked' not in report['protocol']


@pytest.mark.parametrize('damage', ['missing', 'empty', 'cut', 'flip'])
@pytest.mark.parametrize('ending', views.ENDINGS)
def test_a_view_is_finished_when_all_its_pictures_are_whole(tmp_path, ending, damage):
    scene = scene_of(WIDTHS)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for each in views.ENDINGS:
        imageio.imwrite(tmp_path / f'{scene.stem(1)}_{each}.png', noise)
    assert views.is_finished(tmp_path, scene, 1)
    path = tmp_path / f'{scene.stem(1)}_{ending}.png'
    content = path.read_bytes()
    path.unlink()
    if damage == 'flip':
        path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    elif damage != 'missing':
        path.write_bytes(content[: 0 if damage == 'empty' else -100])
    assert not views.is_finished(tmp_path, scene, 1)


def test_a_scene_without_held_out_views_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(views._log, 'propagate', True)
    scene = scene_of(())
    with caplog.at_level('WARNING', logger='nerf'):
        views.render_test(types.SimpleNamespace(scene=scene, trained=types.SimpleNamespace(step=7), options=TaskOptions()))
    assert 'no view is held out from training' in caplog.text
