"""Scenes from the cache of TensorFlow Datasets where that is installed, which training needs; else from their own files."""

import importlib.util

from nerf.data.formats import load_scene
from nerf.data.options import DataOptions
from nerf.data.scene import Scene


def read_scene(format: str | None, data_dir: str | None, scene: str, options: DataOptions) -> Scene:
    """Load the same scene as `load_scene`, bit for bit, from the cache of scenes where there is one.

    Raises:
        UserError: as `load_scene`.
    """
    if importlib.util.find_spec('tensorflow_datasets') is None:
        return load_scene(format, data_dir, scene, options)
    from nerf.data.feed.tfds_cache import cached_scene  # TensorFlow starts here

    return cached_scene(format, data_dir, scene, options)
