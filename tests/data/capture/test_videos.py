import os
import socket
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from nerf.data.capture import __main__ as capture
from nerf.data.capture.images import copy_frames, sharpest, sharpness
from nerf.data.capture.videos import Video, parts_of
from nerf.errors import UserError
from nerf.host.console import Progress


def ffmpeg_of():
    return pytest.importorskip('imageio_ffmpeg').get_ffmpeg_exe()


def ffmpeg(*options, **given):
    return subprocess.run([ffmpeg_of(), '-loglevel', 'error', '-y', *map(str, options)], check=True, **given)


def test_the_sharpest_frame_of_each_part_of_a_video_is_taken(tmp_path):
    rng = np.random.default_rng(0)
    frames = np.full((12, 32, 48, 3), 100, np.uint8)
    sharp = (2, 3, 8, 11)
    for i in sharp:
        frames[i] = rng.choice(np.array([0, 255], np.uint8), (8, 12, 1)).repeat(4, 0).repeat(4, 1)
    assert sharpness(frames[0]) == 0
    taken = list(sharpest(iter(frames), firsts=[0, 3, 6, 9]))
    assert [int(np.argmin([np.abs(frame - other.astype(int)).sum() for other in frames])) for frame in taken] == [2, 3, 8, 11]
    assert len(list(sharpest(iter(frames), firsts=range(12)))) == 12
    assert len(list(sharpest(iter(frames[:0]), firsts=[0]))) == 0
    imageio.imwrite(tmp_path / 'video.mp4', frames, plugin='FFMPEG', fps=6, macro_block_size=1)
    names = copy_frames(str(tmp_path / 'video.mp4'), tmp_path, 4, 24)
    assert names == [f'frame_{i:04d}.jpg' for i in range(4)]
    for name, i in zip(names, sharp, strict=True):
        wanted = Image.fromarray(frames[i]).resize((24, 16), Image.Resampling.LANCZOS)
        difference = np.asarray(Image.open(tmp_path / name), np.float64) - np.asarray(wanted)
        assert np.abs(difference).mean() < 15


def encoded(path, count, *options):
    """A video of so many frames written by ffmpeg to a pipe, as browsers do: the header has no duration; frame i is 10 + i."""
    frames = (10 + np.arange(count, dtype=np.uint8)).repeat(48 * 64 * 3)
    options = ('-f', 'rawvideo', '-pix_fmt', 'rgb24', '-s', '64x48', *options, '-')
    made = ffmpeg(*options, input=frames.tobytes(), stdout=subprocess.PIPE)
    path.write_bytes(made.stdout)
    return str(path)


WEBM = ('-c:v', 'libvpx', '-crf', '4', '-b:v', '1M', '-f', 'webm')
MJPEG = ('-c:v', 'mjpeg', '-q:v', '1', '-fps_mode', 'passthrough', '-f', 'matroska')
VIDEOS = {
    'browser.webm': ('-r', '30', '-i', '-', *WEBM, '-live', '1'),
    'uneven.mkv': ('-r', '30', '-i', '-', '-vf', 'settb=1/1000,setpts=N*400+mod(N*N\\,17)', *MJPEG),
    'fast.mkv': ('-r', '1000', '-i', '-', *MJPEG),
    'raw.h264': ('-r', '30', '-i', '-', '-c:v', 'libx264', '-qp', '0', '-f', 'h264'),
}


@pytest.mark.parametrize('name', VIDEOS)
def test_frames_are_taken_evenly_from_those_that_are_there(tmp_path, name):
    video = encoded(tmp_path / name, 200, *VIDEOS[name])
    about = imageio.immeta(video, plugin='FFMPEG')
    assert about['fps'] * about['duration'] != pytest.approx(200, abs=0.5)  # what its header says of their number
    names = copy_frames(video, tmp_path, 50, 64)
    assert len(names) == 50
    found = np.array([np.asarray(Image.open(tmp_path / name), np.float64).mean() - 10 for name in names])
    np.testing.assert_allclose(found, 4 * np.arange(50) + 1.5, atol=4)  # one of each four
    assert len(copy_frames(video, tmp_path, 300, 64)) == 200  # none twice


def numbers(names, folder):
    """The number of each frame of `encoded`."""
    return np.array([np.asarray(Image.open(folder / name), np.float64).mean() - 10 for name in names])


def test_parts_are_equal_in_time_and_a_pause_counts_as_little():
    even = np.arange(12.0)
    np.testing.assert_array_equal(parts_of(even, 4), [0, 3, 6, 9])
    np.testing.assert_array_equal(parts_of(even, 50), np.arange(12))
    slow = np.cumsum([0, *[1] * 8, *[2] * 4])  # 8 s of one frame each second, then 8 s of half as many
    np.testing.assert_array_equal(parts_of(slow[:-1], 4), [0, 4, 8, 10])
    paused = np.array([0, 1, 2, 3, 4, 5, 1000, 1001, 1002, 1003, 1004, 1005])
    np.testing.assert_array_equal(parts_of(paused, 3), [0, 5, 7])
    assert len(set(parts_of(paused, 11))) == 11
    for unknown in (np.zeros(12), even[::-1], np.full(12, -9.2e18)):
        np.testing.assert_array_equal(parts_of(unknown, 4), [0, 3, 6, 9])
    np.testing.assert_array_equal(parts_of(np.array([5.0]), 4), [0])


def test_frames_are_taken_evenly_in_time_where_their_rate_changes(tmp_path):
    # 100 frames of 0.1 s each, then 100 of 0.3 s: three quarters of the time are the second half.
    timing = 'settb=1/1000,setpts=if(lt(N\\,100)\\,N*100\\,10000+(N-100)*300)'
    video = encoded(tmp_path / 'video.mkv', 200, '-r', '30', '-i', '-', '-vf', timing, *MJPEG)
    read = Video(video, Progress('reading', 200))
    np.testing.assert_allclose(np.diff(read.times), np.repeat([0.1, 0.3], [100, 99]), atol=2e-3)
    found = numbers(copy_frames(video, tmp_path, 40, 64), tmp_path)
    assert len(np.unique(found)) == 40
    assert np.sum(found < 100) == pytest.approx(10, abs=1)


def test_a_rotated_video_comes_out_upright(tmp_path):
    frames = np.zeros((6, 32, 48, 3), np.uint8)
    frames[:, :, :24] = 200  # its left is bright
    imageio.imwrite(tmp_path / 'flat.mp4', frames, plugin='FFMPEG', fps=6, macro_block_size=1)
    ffmpeg('-display_rotation', 90, '-i', tmp_path / 'flat.mp4', '-c', 'copy', tmp_path / 'turned.mp4')
    (name,) = copy_frames(str(tmp_path / 'turned.mp4'), tmp_path, 1, 1600)
    upright = np.asarray(Image.open(tmp_path / name).convert('L'), np.float64)
    assert upright.shape == (48, 32)
    assert abs(upright[:20].mean() - upright[28:].mean()) > 150


def test_a_video_that_was_cut_off_is_used_as_far_as_it_goes(tmp_path, caplog):
    made = ('-f', 'lavfi', '-i', 'testsrc=duration=8:size=64x48:rate=30', '-pix_fmt', 'yuv420p', '-movflags', '+faststart')
    ffmpeg(*made, tmp_path / 'a.mp4')
    whole = (tmp_path / 'a.mp4').read_bytes()
    (tmp_path / 'b.mp4').write_bytes(whole[: len(whole) // 2])
    assert len(copy_frames(str(tmp_path / 'a.mp4'), tmp_path, 12, 64)) == 12
    assert caplog.records == []
    assert len(copy_frames(str(tmp_path / 'b.mp4'), tmp_path, 12, 64)) == 12
    (record,) = caplog.records
    assert 'b.mp4: the frames end after ' in record.getMessage()
    assert record.getMessage().endswith('of 8 s, the file may have been cut off')


def test_files_without_pictures_and_names_of_other_files_end_in_a_sentence(tmp_path):
    ffmpeg(*['-f', 'lavfi', '-i', 'sine=duration=1'], tmp_path / 'sound.m4a')
    ffmpeg(*['-f', 'lavfi', '-i', 'testsrc=duration=1', '-pix_fmt', 'yuv420p'], tmp_path / 'whole.mp4')
    (tmp_path / 'cut.mp4').write_bytes((tmp_path / 'whole.mp4').read_bytes()[:2000])
    (tmp_path / 'empty.mov').write_bytes(b'')
    for name, reason in {
        'sound.m4a': 'it holds sound alone',
        'cut.mp4': 'its end is missing: copy it again from the camera',
        'empty.mov': '.*',
    }.items():
        with pytest.raises(UserError, match=rf'{name}: cannot be read as a video \({reason}\); give a video') as caught:
            capture.gather(str(tmp_path / name), tmp_path, 64, 12)
        assert '\n' not in str(caught.value)


def test_a_playlist_reaches_no_network(tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(0)
        address = f'http://127.0.0.1:{server.getsockname()[1]}/a.ts'
        (tmp_path / 'a.m3u8').write_text(f'#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{address}\n#EXT-X-ENDLIST\n')
        with pytest.raises(UserError, match=r'a\.m3u8: cannot be read as a video'):
            copy_frames(str(tmp_path / 'a.m3u8'), tmp_path, 12, 64)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()


OLD = """#!{python}
import os, sys
args = sys.argv[1:]
if '-fps_mode' in args or 'demux' in args:
    sys.exit('Unrecognized option')
if '-vsync' in args:  # what it was called before
    i = args.index('-vsync')
    args[i : i + 4] = ['-fps_mode', 'passthrough', '-enc_time_base', 'demux']
os.execv({ffmpeg!r}, [{ffmpeg!r}, *args])
"""


def test_an_old_ffmpeg_gives_the_same_frames(tmp_path, monkeypatch):
    video = encoded(tmp_path / 'video.mkv', 40, *VIDEOS['uneven.mkv'])
    taken = numbers(copy_frames(video, tmp_path, 8, 64), tmp_path)
    (tmp_path / 'ffmpeg').write_text(OLD.format(python=sys.executable, ffmpeg=ffmpeg_of()))
    os.chmod(tmp_path / 'ffmpeg', 0o755)
    monkeypatch.setattr('nerf.data.capture.videos.get_exe', lambda: str(tmp_path / 'ffmpeg'))
    np.testing.assert_array_equal(numbers(copy_frames(video, tmp_path, 8, 64), tmp_path), taken)


def test_without_ffmpeg_it_is_named(tmp_path, monkeypatch):
    def missing():
        raise RuntimeError('No ffmpeg exe could be found')

    monkeypatch.setattr('nerf.data.capture.videos.get_exe', missing)
    with pytest.raises(UserError, match='ffmpeg is not installed, which reads videos: pip install imageio-ffmpeg'):
        copy_frames(str(tmp_path / 'a.mp4'), tmp_path, 3, 64)
