import io
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from nerf.data.formats.json_files import read_json
from nerf.data.scene import Scene, stack_cameras
from nerf.data.stored_cameras import write_cameras
from nerf.errors import UserError
from nerf.models import default_fields
from nerf.tables import __main__ as command
from nerf.tables import assembling, published
from nerf.tables.formats import FORMATS
from nerf.tables.results import read_results
from nerf.train import training_time as stopwatch

METRICS = 'render/test/step_1000000/metrics.json'


def write_run(
    root,
    name,
    scene='lego',
    psnr=20.0,
    ssim=0.8,
    model='mipnerf',
    step=1_000_000,
    rays=4096,
    width=800,
    count=200,
    by_width=None,
    fields=None,
    data=None,
    **config,
):
    """A run's folder as `nerf.train.run_folder` and the task `test` write it; its defaults are those of mip-NeRF's paper."""
    folder = root / name
    (folder / f'render/test/step_{step}').mkdir(parents=True)
    metrics = {
        'mean': {'psnr': psnr, 'ssim': ssim},
        'images': [{'image': f'r_{i}', 'width': width, 'psnr': psnr, 'ssim': ssim} for i in range(count)],
        'step': step,
        'protocol': 'eight bit',
        'background_psnr': 10.0,
        'skip_empty': True,
        'scene': 'whatever',
        'model': model,
    }
    if by_width:
        metrics['by_width'] = {str(width): {'psnr': psnr, 'ssim': 0.5} for width, psnr in by_width.items()}
    settings = {
        'batch_size': rays,
        'num_steps': step,
        'seed': 0,
        'scene': 'lego',
        'scene_type': 'object',
        'data': {'background': 'white', 'format': None, 'factor': 1, 'width': None} | (data or {}),
        'model': default_fields(model) | (fields or {}),
        **config,
    }
    run = {'format': 1, 'config': settings, 'data_dir': scene and f'/somewhere/{scene}', 'digest': 'd', 'versions': {}}
    (folder / f'render/test/step_{step}/metrics.json').write_text(json.dumps(metrics))
    (folder / 'run.json').write_text(json.dumps(run))
    return str(folder)


def tables(*folders):
    report = assembling.report(read_results(folders)[0])
    return report, {(table.dataset, table.metric): table for table in report.tables}


def cells(table, start):
    """The cells of the row whose label starts so, by column."""
    row = next(row for row in table.rows if row.label.startswith(start))
    return dict(zip(table.columns, row.cells, strict=True)), row


def edit(folder, file, change):
    path = f'{folder}/{file}'
    with open(path) as opened:
        content = json.load(opened)
    change(content)
    with open(path, 'w') as opened:
        json.dump(content, opened)


def test_published_rows_have_a_number_for_each_column_and_their_mean():
    for dataset in (published.BLENDER, published.BLENDER_MULTISCALE, published.LLFF, published.UNBOUNDED):
        assert len(dataset.scenes) == len(set(dataset.scenes)) == len(dataset.widths) == len(dataset.test_images)
        for row in dataset.rows:
            assert len(row.psnr) in (0, 4 if dataset.is_multiscale else len(dataset.scenes))
            if row.psnr and 'psnr' in row.means:
                assert np.mean(row.psnr) == pytest.approx(row.means['psnr'], abs=0.0051)


def test_runs_on_several_scenes_are_one_row_beside_the_papers(tmp_path):
    lego = write_run(tmp_path, 'mip_lego', 'lego', 35.0, 0.97)
    chair = write_run(tmp_path, 'mip_chair', 'chair', 34.0, 0.96, log_every=7)
    table = tables(lego, chair)[1]['Blender scenes', 'psnr']
    assert table.columns == (*published.BLENDER.scenes, 'mean', 'mean of 2')
    ours, row = cells(table, 'mip (ours)')
    assert sum(row.is_ours for row in table.rows) == 1
    assert (ours['lego'].value, ours['chair'].value, ours['drums'].value) == (35.0, 34.0, None)
    # By the paper's protocol: nothing to say.
    assert row.notes == ours['lego'].notes == ()
    theirs, row = cells(table, 'mip-NeRF (paper)')
    assert (theirs['lego'].value, theirs['mean'].value) == (None, 33.09)
    assert row.notes == ()
    rerun, row = cells(table, 'mip-NeRF (nerf-factory)')
    assert rerun['lego'].value == 35.80
    assert 'nerf-factory' in row.notes[0]


def test_a_mean_is_over_all_scenes_or_says_over_which(tmp_path):
    runs = [write_run(tmp_path, f'a_{scene}', scene, psnr) for scene, psnr in (('lego', 30), ('chair', 33), ('ship', 27))]
    runs += [write_run(tmp_path, f'b_{scene}', scene, psnr, seed=1, rays=64) for scene, psnr in (('lego', 20), ('chair', 21))]
    table = tables(*runs)[1]['Blender scenes', 'psnr']
    assert 'mean of 2: chair, lego' in table.remarks
    a, b, paper = (cells(table, start)[0] for start in ('a (ours)', 'b (ours)', 'NeRF (paper)'))
    assert a['mean'].value is b['mean'].value is None
    assert (a['mean of 2'].value, b['mean of 2'].value) == (31.5, 20.5)
    assert paper['mean of 2'].value == pytest.approx((33.00 + 32.54) / 2)
    runs = [write_run(tmp_path, f'all_{scene}', scene, i, count=10) for i, scene in enumerate(published.BLENDER.scenes)]
    table = tables(*runs)[1]['Blender scenes', 'psnr']
    ours, _ = cells(table, 'all (ours)')
    assert ours['mean'] == assembling.Cell(3.5, ('10 test images',))
    assert table.columns[-1] == 'mean'


def test_what_differs_from_the_protocol_is_said(tmp_path):
    folder = write_run(
        tmp_path, 'small_lego', width=100, count=25, step=2000, rays=1024, fields={'width': 64}, data={'background': 'black'}
    )
    ours, row = cells(tables(folder)[1]['Blender scenes', 'psnr'], 'small (ours)')
    assert ours['lego'].notes == ('at 100 px', '25 test images', 'over black')
    assert row.notes == ('2,000 steps of 1,024 rays (published: 1,000,000 of 4,096)', 'width 64 (by default: 256)')
    text = FORMATS['text'](tables(folder)[0])
    assert 'c: 2,000 steps of 1,024 rays (published: 1,000,000 of 4,096); width 64 (by default: 256)' in text
    assert 'd: at 100 px; 25 test images; over black' in text
    paper, small = (next(line for line in text.splitlines() if line.startswith(start)) for start in ('NeRF (paper)', 'small'))
    assert small.startswith('small (ours) c ')
    assert paper.index('32.54') == small.index('20.00 d')


def test_the_same_notes_are_one_footnote(tmp_path):
    runs = [write_run(tmp_path, f'a_{scene}', scene, width=100) for scene in ('lego', 'ship')]
    runs.append(write_run(tmp_path, 'b_lego', width=50))
    text = FORMATS['text'](tables(*runs)[0])
    assert [line for line in text.splitlines() if line.endswith(' px')][:2] == ['  c: at 100 px', '  d: at 50 px']
    assert text.count('20.00 c') == 2


def test_steps_are_compared_with_those_of_the_same_model_else_with_all(tmp_path):
    nerf = write_run(tmp_path, 'nerf', model='nerf', step=500_000, rays=1024)
    half = write_run(tmp_path, 'half', model='nerf', step=500_000, rays=512)
    grid = write_run(tmp_path, 'grid', model='instant', step=300, rays=1024)
    table = tables(nerf, half, grid)[1]['Blender scenes', 'psnr']
    assert cells(table, 'nerf (ours)')[1].notes == ()
    assert cells(table, 'half (ours)')[1].notes == (
        '500,000 steps of 512 rays (published: 500,000 of 1,024 or 1,000,000 of 4,096)',
    )
    assert cells(table, 'grid (ours)')[1].notes[0].startswith('300 steps of 1,024 rays (published: 500,000')


def test_the_room_of_two_data_sets_and_scenes_of_none(tmp_path):
    front = write_run(tmp_path, 'front', 'room', 31.0, scene_type='forward_facing', width=1008, count=6)
    around = write_run(tmp_path, 'around', 'room', 32.0, scene_type='unbounded', width=1557, count=39)
    own = write_run(tmp_path, 'own', 'lego', 33.0, data={'format': 'colmap'})
    built_in = write_run(tmp_path, 'quick', None, 34.0, step=350)
    found = tables(front, around, own, built_in)[1]
    assert cells(found['LLFF scenes', 'psnr'], 'front')[0]['room'] == assembling.Cell(31.0)
    assert cells(found['mip-NeRF 360 scenes', 'psnr'], 'around')[0]['room'] == assembling.Cell(32.0)
    others = found['other scenes', 'psnr']
    assert others.columns == ('lego', 'built-in')
    assert [row.is_ours for row in others.rows] == [True, True]
    assert cells(others, 'quick')[0]['built-in'] == assembling.Cell(34.0)


def test_ours_of_several_sizes_are_told_apart_where_nothing_is_published(tmp_path):
    small = write_run(tmp_path, 'small', 'mine', width=100)
    large = write_run(tmp_path, 'large', 'mine', width=200)
    table = tables(small, large)[1]['other scenes', 'psnr']
    assert [row.cells[0].notes for row in table.rows] == [('at 100 px',), ('at 200 px',)]
    assert table.columns == ('mine',)


def test_a_second_run_on_a_scene_is_a_row_of_its_own(tmp_path):
    first = write_run(tmp_path, 'one/mip_lego', psnr=30.0)
    second = write_run(tmp_path, 'two/mip_lego', psnr=31.0, seed=1)
    table = tables(first, second)[1]['Blender scenes', 'psnr']
    labels = [(row.label, row.cells[4].value) for row in table.rows if row.is_ours]
    assert labels == [('mip (ours)', 30.0), ('mip (ours, 2)', 31.0)]


def test_multiscale_runs_have_a_column_for_each_scale(tmp_path):
    scales = {800: 30.0, 400: 31.0, 200: 32.0, 100: 33.0}
    lego = write_run(tmp_path, 'mip_lego', 'lego', count=800, by_width=scales)
    lifted = {width: psnr + 2 for width, psnr in scales.items()}
    ship = write_run(tmp_path, 'mip_ship', 'ship', count=800, by_width=lifted)
    own = write_run(tmp_path, 'own', 'mine', width=50, by_width={50: 20.0, 25: 21.0})
    found = tables(lego, ship, own)[1]
    table = found['Blender scenes, multiscale', 'psnr']
    assert table.columns == ('full', '1/2', '1/4', '1/8')
    ours, row = cells(table, 'mip (ours)')
    assert [cell.value for cell in ours.values()] == [31.0, 32.0, 33.0, 34.0]
    assert row.notes == ('2 of 8 scenes: lego, ship',)
    assert [cell.value for cell in cells(table, 'mip-NeRF (paper)')[0].values()] == [32.63, 34.34, 35.47, 35.60]
    own = found['mine, multiscale', 'psnr']
    assert own.columns == ('full', '1/2')
    assert [cell.value for cell in own.rows[0].cells] == [20.0, 21.0]
    assert len(own.rows) == 1


def test_photos_of_several_widths_are_not_multiscale(tmp_path):
    folder = write_run(tmp_path, 'photos', 'chess', by_width={1000: 20.0, 996: 21.0})
    assert tables(folder)[1]['other scenes', 'psnr'].rows[0].cells[0].value == 20.0


def test_a_missing_ssim_is_no_number(tmp_path):
    lego = write_run(tmp_path, 'a_lego', 'lego', ssim=math.nan)
    chair = write_run(tmp_path, 'a_chair', 'chair', ssim=0.9)
    table = tables(lego, chair)[1]['Blender scenes', 'ssim']
    assert table.columns == ('chair', 'mean')
    assert cells(table, 'a (ours)')[0]['chair'].value == 0.9
    assert cells(table, 'NeRF (paper)')[0]['mean'].value == 0.947
    assert cells(table, 'mip-NeRF (paper)')[1].notes == ()  # it is about PSNRs


def test_lpips_of_ours_stands_beside_those_of_papers_and_without_ours_there_is_no_table(tmp_path):
    without = write_run(tmp_path, 'without')
    assert [metric for _, metric in tables(without)[1]] == ['psnr', 'ssim']
    lego = write_run(tmp_path, 'a_lego')
    edit(lego, METRICS, lambda metrics: metrics['mean'].update(lpips_vgg=0.0467))
    found = tables(lego, without)[1]
    assert [metric for _, metric in found] == ['psnr', 'ssim', 'lpips_vgg']
    table = found['Blender scenes', 'lpips_vgg']
    assert table.title == 'LPIPS (VGG): Blender scenes'
    assert any('another network and range of colours' in remark for remark in table.remarks)
    assert cells(table, 'mip-NeRF (paper)')[0]['mean'].value == 0.043
    ours = cells(table, 'a (ours)')[0]['lego']
    assert table.number(ours) == '0.047'
    assert [row.label for row in table.rows if row.is_ours] == ['a (ours)']
    assert not [remark for remark in found['Blender scenes', 'ssim'].remarks if 'LPIPS' in remark]


def test_text_is_aligned_to_the_right(tmp_path):
    small = write_run(tmp_path, 'small', 'mine', 9.126, 0.12345, width=100)
    large = write_run(tmp_path, 'large', 'mine', 31.0, 0.5)
    lines = FORMATS['text'](tables(small, large)[0]).splitlines()
    assert [line.rstrip() for line in lines[:6]] == [
        'PSNR, dB: other scenes',
        '               mine',
        'small (ours)   9.13 a',
        'large (ours)  31.00 b',
        '  a: at 100 px',
        '  b: at 800 px',
    ]
    assert any(line.startswith('small (ours)') and line.endswith('0.123 a') for line in lines)
    assert '  eight bit' in lines


def test_csv_comes_back(tmp_path):
    folder = write_run(tmp_path, 'mip, "x"_lego', psnr=35.126, width=400)
    frame = pd.read_csv(io.StringIO(FORMATS['csv'](tables(folder)[0])))
    ours = frame[frame.is_ours & (frame.metric == 'psnr')]
    assert ours[['method', 'column', 'value', 'notes']].values.tolist() == [['mip, "x" (ours)', 'lego', 35.13, 'at 400 px']]
    paper = frame[(frame.method == 'NeRF (paper)') & (frame.metric == 'psnr')].set_index('column').value
    assert paper.to_dict() == dict(
        zip([*published.BLENDER.scenes, 'mean'], [*published.BLENDER.rows[0].psnr, 31.01], strict=True)
    )


def test_latex_and_markdown_escape_what_they_would_take_for_commands(tmp_path):
    folder = write_run(tmp_path, r'a_b%#&$^~{\x|', 'my_scene', 20.0)
    report = tables(folder)[0]
    latex = FORMATS['latex'](report)
    name = r'a\_b\%\#\&\$\textasciicircum{}\textasciitilde{}\{\textbackslash{}x|'
    assert f'{name} (ours) & 20.00 \\\\' in latex
    assert '& my\\_scene \\\\' in latex
    assert latex.count(r'\begin{tabular}{lr}') == latex.count(r'\end{tabular}') == 2
    assert '| a\\_b%\\#&$^~{\\\\x\\| (ours) | 20.00 |' in FORMATS['markdown'](report)


def test_latex_marks_and_separates_ours(tmp_path):
    folder = write_run(tmp_path, 'mip_lego', psnr=22.5, width=100)
    latex = FORMATS['latex'](tables(folder)[0])
    assert r'22.50\rlap{\textsuperscript{c}}' in latex
    assert r' at 100 px.\\' in latex
    assert '\\midrule\nmip (ours)' in latex
    markdown = FORMATS['markdown'](tables(folder)[0])
    assert '| NeRF (paper) | 33.00 | 25.01 |' in markdown
    assert '22.50 <sup>c</sup>' in markdown


def test_a_run_is_described_with_its_time_and_hardware(tmp_path):
    folder = write_run(tmp_path, 'mip_lego', step=500, rays=64, num_steps=1000)
    assert 'time not recorded' in tables(folder)[0].runs[0]
    kept = {'500': {'seconds': 5400, 'hardware': ['4 x GPU', 'CPU, 2 cores']}, '1000': {'seconds': 1, 'hardware': []}}
    (tmp_path / 'mip_lego/training.json').write_text(json.dumps(kept))
    said = tables(folder)[0].runs[0]
    for fact in (
        f'mip (ours), lego ({folder}): mipnerf, step 500 of 1,000, 64 rays a step, rays of 128 samples, seed 0',
        '800 px, 200 test images (list ',
        '1.50 h on 4 x GPU, then CPU, 2 cores',
    ):
        assert fact in said


def test_lists_of_test_images_are_told_apart(tmp_path):
    one, other = write_run(tmp_path, 'one'), write_run(tmp_path, 'other')
    edit(other, METRICS, lambda metrics: metrics['images'][3].update(image='another'))
    first, second = read_results([one, other])[0]
    assert first.digest != second.digest
    assert f'list {first.digest}' in tables(one)[0].runs[0]


def test_the_stopwatch_sums_over_starts(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(stopwatch.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(stopwatch, 'hardware', lambda: 'A')
    first = stopwatch.TrainingTime(str(tmp_path), 0)
    for step in (10, 20, 30):
        now[0] += 5
        first.note(step)
    # Killed, and found at step 20: what came after is trained again, on something else.
    now[0] = 1000.0
    monkeypatch.setattr(stopwatch, 'hardware', lambda: 'B')
    second = stopwatch.TrainingTime(str(tmp_path), 20)
    now[0] += 2
    second.note(40)
    kept = json.loads((tmp_path / 'training.json').read_text())
    assert kept == {
        '10': {'seconds': 5.0, 'hardware': ['A']},
        '20': {'seconds': 10.0, 'hardware': ['A']},
        '40': {'seconds': 12.0, 'hardware': ['A', 'B']},
    }
    folder = write_run(tmp_path.parent / 'with_time', 'run', step=40)
    (tmp_path / 'training.json').rename(f'{folder}/training.json')
    (result,), _ = read_results([folder])
    assert (result.seconds, result.hardware) == (12.0, ('A', 'B'))
    # A new run in this folder forgets; one that goes on from a step nobody timed says nothing.
    stopwatch.TrainingTime(folder, 0).note(1)
    assert read_results([folder])[0][0].seconds is None
    assert list(read_json(f'{folder}/training.json', '')) == ['1']
    stopwatch.TrainingTime(folder, 7).note(8)
    assert read_results([folder])[0][0].seconds is None
    assert list(read_json(f'{folder}/training.json', '')) == ['1']


@pytest.mark.parametrize('content', ['', '[]', '{"x": 1}', '{"5": {"seconds": true, "hardware": []}}', '{"5": {"seconds": 1}}'])
def test_a_damaged_record_of_time_does_not_stop_a_run(tmp_path, content):
    (tmp_path / 'training.json').write_text(content)
    stopwatch.TrainingTime(str(tmp_path), 5).note(6)
    assert (tmp_path / 'training.json').read_text() == content


@pytest.mark.parametrize(
    ('file', 'change', 'message'),
    [
        (METRICS, lambda m: m.pop('mean'), 'mean is missing, expected an object'),
        (METRICS, lambda m: m['mean'].update(psnr='high'), "psnr is 'high', expected a number"),
        (METRICS, lambda m: m['mean'].update(psnr=math.nan), 'psnr is nan, expected a finite number'),
        (METRICS, lambda m: m['mean'].update(psnr=10**400), 'psnr is .*, expected a number'),
        (METRICS, lambda m: m.update(step=True), "step is 'True', expected a whole number"),
        (METRICS, lambda m: m.update(images=[]), 'expected in images an object for each image'),
        (METRICS, lambda m: m.update(images=[3]), 'expected in images an object for each image'),
        (METRICS, lambda m: m['images'][2].pop('width'), 'width is missing, expected a whole number'),
        (METRICS, lambda m: m.update(by_width={'wide': {}}), "by_width names 'wide', expected widths"),
        (METRICS, lambda m: m.update(by_width={'8': 3}), "8 is '3', expected an object"),
        ('run.json', lambda r: r.pop('config'), 'config is missing, expected an object'),
        ('run.json', lambda r: r['config'].pop('batch_size'), 'batch_size is missing, expected a whole number'),
        ('run.json', lambda r: r['config'].update(data=3), 'data.background is missing, expected a text'),
        ('run.json', lambda r: r.pop('data_dir'), 'data_dir is missing, expected a text'),
    ],
)
def test_damaged_files_are_named_in_a_sentence(tmp_path, file, change, message):
    folder = write_run(tmp_path, 'run')
    edit(folder, file, change)
    with pytest.raises(UserError, match=f'^{folder}/{file}: {message}') as caught:
        tables(folder)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['', '{', '[1]', '"x"', '\x00'])
def test_files_that_are_no_json_are_named(tmp_path, content):
    folder = write_run(tmp_path, 'run')
    (tmp_path / 'run/render/test/step_1000000/metrics.json').write_text(content)
    with pytest.raises(UserError, match=f'^{folder}/render/test/step_1000000/metrics.json: '):
        tables(folder)


def test_folders_without_metrics_are_named_once_and_left_out(tmp_path, capsys):
    good = write_run(tmp_path, 'good', psnr=21.25)
    for name in ('empty', 'other'):
        (tmp_path / name).mkdir()
    out = tmp_path / 'table.csv'
    command.main([good, f'{tmp_path}/empty', f'{tmp_path}/other', '--format=csv', f'--out={out}'])
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err == f'warning: left out, no render/test/step_*/metrics.json: {tmp_path}/empty, {tmp_path}/other\n'
    assert 21.25 in pd.read_csv(out).value.tolist()


def test_a_run_without_held_out_views_has_no_metrics_to_make(tmp_path, capsys):
    cameras = stack_cameras(np.eye(3, 4)[None], np.eye(3)[None], np.array([[8, 8]]), 1.0, 2.0)
    write_cameras(tmp_path / 'cameras.npz', Scene(('train_a',), ('train',), np.zeros((0, 4), np.uint8), cameras))
    with pytest.raises(SystemExit):
        command.main([str(tmp_path)])
    said = capsys.readouterr().err
    assert said == f'error: {tmp_path}: no view was held out from training, so there are no metrics\n'


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        ([], 'error: no folder given: '),
        (['{}/none'], 'error: {}/none: no such folder'),
        (['{}/empty'], 'error: {}/empty: holds no render/test/step_*/metrics.json; '),
        (['{}/good', '--out={}/no/table.md'], 'error: {}/no/table.md: cannot be written (No such file or directory)'),
    ],
)
def test_mistakes_end_in_a_sentence(tmp_path, capsys, args, message):
    write_run(tmp_path, 'good')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SystemExit) as stopped:
        command.main([arg.format(tmp_path) for arg in args])
    said = capsys.readouterr()
    assert (stopped.value.code, said.out) == (1, '')
    assert said.err.startswith(message.format(tmp_path))
    assert said.err.count('\n') == 1


def test_the_command_needs_no_tensorflow(tmp_path):
    folder = write_run(tmp_path, 'run', psnr=23.456)
    code = 'import sys; sys.modules["tensorflow"] = sys.modules["clu"] = None; from nerf.tables.__main__ import main; main()'
    done = subprocess.run([sys.executable, '-c', code, folder], capture_output=True, text=True, check=True)
    assert '23.46' in done.stdout
