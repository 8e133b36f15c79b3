import threading

import numpy as np
import pytest

from nerf.data import reading
from nerf.errors import UserError

SIZES = np.array([(3, 2), (1, 5), (4, 4)])  # width, height


def image(i):
    width, height = SIZES[i]
    return np.random.default_rng(i).integers(0, 256, (height, width, 4), np.uint8)


def test_images_fill_the_buffer_in_order():
    pixels = reading.fill_pixels('scene', SIZES, SIZES, image)
    np.testing.assert_array_equal(pixels, np.concatenate([image(i).reshape(-1, 4) for i in range(3)]), strict=True)


def test_an_image_of_another_size_than_its_header_says_is_refused():
    with pytest.raises(UserError, match=r'^scene: image 2 has 5 x 1 px where its file says 1 x 5'):
        reading.fill_pixels('scene', SIZES, SIZES, lambda i: image(i).transpose(1, 0, 2) if i == 1 else image(i))


def test_more_than_there_is_memory_for_is_a_sentence():
    with pytest.raises(
        UserError, match=r'^scene: 2 images need 4\.5e\+06 GB of memory, .* largest has 1073741824 x 1048576 px'
    ):
        reading.empty_pixels('scene', np.array([(3, 3), (2**30, 2**20)]))


def test_what_is_written_to_a_part_is_in_the_buffer():
    used = np.zeros(27, bool)
    parts = reading.images_of(used, SIZES)
    assert [part.shape for part in parts] == [(2, 3), (5, 1), (4, 4)]
    parts[1][4, 0] = True
    assert np.flatnonzero(used).tolist() == [10]


def test_as_many_are_decoded_at_a_time_as_fit(monkeypatch):
    monkeypatch.setattr(reading, '_cores', lambda: 4)
    running, most, lock = set(), [], threading.Lock()

    def read(i):
        with lock:
            running.add(i)
            most.append(len(running))
        meet.wait(0.05) if meet else None
        with lock:
            running.discard(i)

    meet = threading.Event()
    for budget, expected in ((2**30, 4), (2 * 600, 2), (10, 1)):
        monkeypatch.setattr(reading, 'AT_ONCE', budget)
        most.clear()
        reading.on_all_cores('reading', read, np.array([(30, 20)] * 8))
        assert max(most) == expected


def test_reading_that_takes_long_is_reported(monkeypatch, caplog):
    for shown_after, said in ((0.0, True), (60.0, False)):
        monkeypatch.setattr(reading, 'SHOWN_AFTER', shown_after)
        caplog.clear()
        with caplog.at_level('INFO', logger='nerf'):
            reading.fill_pixels('scene', SIZES, SIZES, image)
        lines = [record.getMessage() for record in caplog.records]
        assert bool(lines) == said
    monkeypatch.setattr(reading, 'SHOWN_AFTER', 1e-9)
    with caplog.at_level('INFO', logger='nerf'):
        reading.fill_pixels('scene', SIZES, SIZES, image)
    assert caplog.records[-1].getMessage().startswith('reading images 3/3, ')
    assert caplog.records[-1].getMessage().endswith(' images/s')
    caplog.clear()
    monkeypatch.setattr(reading.processes, 'is_first', lambda: False)
    reading.fill_pixels('scene', SIZES, SIZES, image)
    assert not caplog.records
