"""Frames of a video and their times, decoded by ffmpeg: its header may lack their number and rate, or be wrong about them."""

import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np
from imageio.plugins.ffmpeg import get_exe

from nerf.errors import UserError
from nerf.host.console import Progress

# ffmpeg's options to output each frame once, at its own time, where it would repeat frames to fill a constant rate; of
# versions from 6.1, from 5.1, and before.
EACH_ONCE = (
    ('-fps_mode', 'passthrough', '-enc_time_base', 'demux'),
    ('-fps_mode', 'passthrough', '-enc_time_base', '-1'),
    ('-vsync', '0', '-enc_time_base', '-1'),
)
LONGEST = 4  # times the median time between frames; in more, the recording paused
MOST_PIXELS = 2**28  # of a frame
CUT = 0.9  # of the duration that the header says; a video that ends before was cut off


class Video:
    """The frames of a video file.

    Attributes:
        path: of the file.
        times: [n], when each frame is shown, s.
        size: (width, height) of the frames, upright by the file's rotation, px.
        duration: what the file's header says, s; None: nothing.
    """

    def __init__(self, path: str, progress: Progress) -> None:
        """Decode the file once for the number and the times of its frames.

        Raises:
            UserError: a file that cannot be read as a video.
        """
        self.path, faults = path, []
        for self._options in EACH_ONCE:
            self.times, self.size, said = self._probe(progress)
            if len(self.times):
                break
            faults.append(_reason(said))
        else:  # the newest ffmpeg knows all others' options by name
            raise UserError(f'{path}: cannot be read as a video ({faults[0]}); give a video file or a folder of photos')
        if self.size[0] * self.size[1] > MOST_PIXELS:
            raise UserError(f'{path}: frames of {self.size[0]} x {self.size[1]} px are too large; make a smaller video of it')
        found = re.search(r'Duration: (\d+):(\d+):([\d.]+)', said)
        self.duration = None if found is None else 3600 * int(found[1]) + 60 * int(found[2]) + float(found[3])

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames, uint8 [height, width, 3]."""
        width, height = self.size
        with _ffmpeg(self.path, *self._options, '-f', 'rawvideo', '-pix_fmt', 'rgb24') as (pipe, _):
            while len(frame := pipe.read(3 * width * height)) == 3 * width * height:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)

    def cut_off(self) -> str:
        """Return a sentence if the frames end long before the duration that the header says, else ''."""
        end = float(self.times[-1] - self.times[0])
        if self.duration is None or end >= CUT * self.duration - 1:
            return ''
        return f'{self.path}: the frames end after {end:.0f} of {self.duration:.0f} s, the file may have been cut off'

    def _probe(self, progress: Progress) -> tuple[np.ndarray, tuple[int, int], str]:
        """Return the times of the frames (none on failure), their size, and ffmpeg's messages."""
        times, size, unit = [], (0, 0), 0.0
        with _ffmpeg(self.path, *self._options, '-f', 'framecrc') as (pipe, messages):
            for line in pipe:
                if line.startswith(b'#tb 0:'):
                    over, under = line[6:].split(b'/')
                    unit = int(over) / int(under)
                elif line.startswith(b'#dimensions 0:'):
                    width, height = line[14:].split(b'x')
                    size = (int(width), int(height))
                elif not line.startswith(b'#'):
                    times.append(unit * int(line.split(b',')[2]))
                    progress.advance()
            messages.seek(0)
            said = messages.read().decode(errors='replace')
        return np.array(times), size, said


def count_packets(path: str) -> int:
    """Return about how many frames a video has, without decoding them."""
    with _ffmpeg(path, '-c', 'copy', '-f', 'framecrc') as (pipe, _):
        return sum(not line.startswith(b'#') for line in pipe)


def parts_of(times: np.ndarray, count: int) -> np.ndarray:
    """Divide frames shown at `times`, [n], s, into min(n, count) parts of equal time; return the first frame of each, [k].

    A camera that is led evenly covers its way evenly in time, not in frames: phones record fewer of them in the dark, and more
    in slow motion. While the recording pauses (a gap of more than `LONGEST` median intervals) nothing moves, so a gap counts as
    that long. Times that do not rise, or are not known, are replaced by the frames' numbers.
    """
    count, steps = min(count, len(times)), np.diff(times)
    spans = np.ones(len(times))
    if len(steps) and np.all(steps >= 0) and np.any(steps > 0):
        usual = np.median(steps[steps > 0])
        spans = np.minimum(np.append(steps, usual), LONGEST * usual)
    begins = np.cumsum(spans) - spans
    firsts = np.searchsorted(begins, np.arange(count) * spans.sum() / count * (1 - 1e-9))
    order = np.arange(count)
    return np.minimum(np.maximum.accumulate(firsts - order) + order, len(times) - count + order)


@contextlib.contextmanager
def _ffmpeg(path: str, *output: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Run ffmpeg on a video; yield its output, and the file of its messages, and end it afterwards.

    A local playlist may name other local files, but nothing of a network: ffmpeg's default.
    """
    try:
        executable = get_exe()
    except (ImportError, RuntimeError) as error:
        raise UserError('ffmpeg is not installed, which reads videos: pip install imageio-ffmpeg') from error
    reading = ('-nostdin', '-hide_banner', '-nostats', '-i', os.path.abspath(path))
    command = [executable, *reading, '-an', '-sn', '-dn', *output, '-']
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages)
        try:
            yield process.stdout, messages
        finally:
            process.kill()
            process.stdout.close()
            process.wait()


def _reason(said: str) -> str:
    """Return why ffmpeg read no frame, from its messages."""
    if 'Stream #' in said and ': Video: ' not in said:
        return 'it holds sound alone' if ': Audio: ' in said else 'it holds no pictures'
    if 'moov atom not found' in said:
        return 'its end is missing: copy it again from the camera'
    lines = [re.sub(r'^\[.*?\] *', '', line).strip() for line in said.splitlines()]
    faults = [line for line in lines if re.search('error|invalid|not found|fail', line, re.IGNORECASE)]
    return faults[0][:200].rstrip('.') if faults else 'ffmpeg finds no frames in it'
