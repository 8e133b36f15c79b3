"""Cache of scenes by TensorFlow Datasets: a scene is read, checked and downsampled once, and then read from the cache."""

import contextlib
import io
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import absl.logging
import numpy as np

from nerf.data.feed.quiet_tensorflow import tf  # noqa: F401, before tensorflow_datasets
from nerf.data.formats import fingerprint, load_scene, resolve_source
from nerf.data.options import DataOptions
from nerf.data.poses import frame_arrays, frame_of_arrays
from nerf.data.reading import SHOWN_AFTER
from nerf.data.scene import CAMERA_ARRAYS, OPTIONAL_ARRAYS, Scene, camera_arrays, cameras_of_arrays, checked
from nerf.host import processes
from nerf.host.console import Progress

import tensorflow_datasets as tfds  # isort: skip, TensorFlow must be quiet first

LOG = logging.getLogger('nerf')
SPLIT = 'images'  # TFDS's only split; train, val and test are a feature of each image, so that the order is kept
CAMERA_SHAPES = CAMERA_ARRAYS | OPTIONAL_ARRAYS


class SceneInfo(tfds.core.DatasetInfo):
    """What TFDS knows of a scene."""

    def initialize_from_bucket(self) -> None:
        """Look nowhere: no scene is in a bucket, and TFDS would leave an empty temporary folder behind at each look."""


class NerfScene(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Dataset of one scene, an example for each image; the config's name, a fingerprint of the source, identifies the scene."""

    VERSION = tfds.core.Version('1.2.0')

    def __init__(
        self, name: str, cache_dir: str | None, scene: Scene | None = None, advance: Callable[[], None] = lambda: None
    ) -> None:
        """Open the dataset `name`; if it does not exist, `scene` is what `download_and_prepare` writes, image by image."""
        self._scene, self._advance = scene, advance
        super().__init__(data_dir=cache_dir, config=tfds.core.BuilderConfig(name=name))

    def _info(self) -> tfds.core.DatasetInfo:
        # Each with a leading axis of length 1, or 0 if the cameras lack the field.
        camera = {key: tfds.features.Tensor(shape=(None, *shape), dtype=dtype) for key, (shape, dtype) in CAMERA_SHAPES.items()}
        image = tfds.features.Tensor(shape=(None, None, 4), dtype=np.uint8, encoding=tfds.features.Encoding.ZLIB)
        text = tfds.features.Text()
        weight = tfds.features.Scalar(dtype=np.float32)
        # All of the scene's points with its first image, none with the others.
        points = tfds.features.Tensor(shape=(None, 3), dtype=np.float32)
        # Of height 0 if the scene has no masks.
        used = tfds.features.Tensor(shape=(None, None), dtype=np.uint8, encoding=tfds.features.Encoding.ZLIB)
        count = tfds.features.Scalar(dtype=np.int64)  # of all pixels of the scene, with each image
        features = {'name': text, 'split': text, 'camera': camera, 'image': image, 'weight': weight, 'points': points}
        features['frame'] = text  # the scene's, with each image, as JSON: TFDS would round its float64 to float32
        features |= {'used': used, 'count': count}
        return SceneInfo(builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
        return {SPLIT: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        cameras = {key: np.zeros((0, *shape), dtype) for key, (shape, dtype) in CAMERA_SHAPES.items()}
        cameras |= camera_arrays(self._scene.cameras)
        frame = json.dumps({key: values.tolist() for key, values in frame_arrays(self._scene.frame).items()})
        for i, (name, split) in enumerate(zip(self._scene.names, self._scene.split, strict=True)):
            camera = {key: values[i : i + 1] for key, values in cameras.items()}
            image, weight = self._scene.image(i), self._scene.weights[i]
            points = self._scene.points if i == 0 else self._scene.points[:0]
            used = image[:0, :, 0] if self._scene.used is None else self._scene.mask(i).astype(np.uint8)
            example = {'name': name, 'split': split, 'camera': camera, 'image': image, 'weight': weight, 'points': points}
            yield i, {**example, 'frame': frame, 'used': used, 'count': len(self._scene.pixels)}
            self._advance()


def cached_scene(
    format: str | None, data_dir: str | None, scene: str, options: DataOptions, cache_dir: str | None = None
) -> Scene:
    """Load the same scene as `load_scene`, bit for bit, from `cache_dir` (None: TFDS's own), written at the first call.

    If the cache cannot be read or written, a warning is logged and the original is used.

    Raises:
        UserError: as `load_scene`.
    """
    format, folder = resolve_source(format, data_dir, scene)
    name = f'{format}_{fingerprint(format, folder, options)}'
    try:
        cached = _read(name, cache_dir)
    except Exception as error:  # damaged files may raise anything
        LOG.warning('%s: the cached scene cannot be read, the original is used; remove it from the cache (%s)', name, error)
        return load_scene(format, data_dir, scene, options)
    if cached is not None:
        return cached
    loaded = load_scene(format, data_dir, scene, options)
    try:
        _write(name, cache_dir, loaded)
    except Exception as error:  # as may a full disk or missing permissions
        LOG.warning('%s: the scene cannot be cached and is read anew each time (%s)', name, error)
    return loaded


def _write(name: str, cache_dir: str | None, scene: Scene) -> None:
    """Write a scene; TFDS writes to a temporary folder and renames it, so that other processes read all of it or nothing."""
    with _reporting('caching images') as report, _quiet():
        builder = NerfScene(name, cache_dir, scene, report(len(scene.names)))
        try:
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
        except OSError:
            if not builder.is_prepared():  # if it is, another process was faster
                raise


def _read(name: str, cache_dir: str | None) -> Scene | None:
    """Read the cached scene, its images in their original order; None if there is none."""
    with _reporting('reading cached images') as report, _quiet():
        builder = NerfScene(name, cache_dir)
        if not builder.is_prepared():
            return None
        config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
        examples = tfds.as_numpy(builder.as_dataset(split=SPLIT, read_config=config))
        return _scene_of(examples, report(builder.info.splits[SPLIT].num_examples))


def _scene_of(examples: Iterable[dict[str, Any]], advance: Callable[[], None]) -> Scene:
    """Make a scene of its examples; the buffer of pixels is allocated once, and filled as they come."""
    others, pixels, used, filled = [], None, None, 0
    for example in examples:
        image, mask = example.pop('image'), example.pop('used')
        if pixels is None:
            pixels = np.empty((example['count'], 4), np.uint8)
            used = np.empty(len(pixels), bool) if len(mask) else None
        place = slice(filled, filled + image.shape[0] * image.shape[1])
        pixels[place] = image.reshape(-1, 4)
        if used is not None:
            used[place] = mask.ravel()
        filled = place.stop
        others.append(example)
        advance()
    cameras = {key: np.concatenate([example['camera'][key] for example in others]) for key in CAMERA_SHAPES}
    cameras = cameras_of_arrays({key: values for key, values in cameras.items() if len(values)})
    names, split = (tuple(example[key].decode() for example in others) for key in ('name', 'split'))
    weights = np.array([example['weight'] for example in others], np.float32)
    frame = frame_of_arrays(json.loads(others[0]['frame']))
    return checked(Scene(names, split, pixels, cameras, weights, others[0]['points'], frame, used))


@contextlib.contextmanager
def _reporting(what: str) -> Iterator[Callable[[int], Callable[[], None]]]:
    """Yield a function of the number of images that begins a report and returns what counts one, also within `_quiet`."""
    shown = sys.stdout
    begun = []

    def begin(count: int) -> Callable[[], None]:
        def advance() -> None:
            with contextlib.redirect_stdout(shown):
                begun[0].advance()

        with contextlib.redirect_stdout(shown):
            begun.append(Progress(what, count, is_quiet=not processes.is_first(), unit='images', after=SHOWN_AFTER))
        return advance

    try:
        yield begin
    finally:
        for progress in begun:
            progress.close()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress output, log lines and progress bars of TFDS within the block."""
    tfds.disable_progress_bar()
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)
