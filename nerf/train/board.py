"""TensorBoard's files, whose failure never ends a training: a disk that is full, a folder that is gone."""

import logging
from collections.abc import Callable
from typing import Any

from clu import metric_writers

_log = logging.getLogger('nerf')


class Board:
    """CLU's default writer, which warns once when it cannot write and is silent from then on."""

    def __init__(self, model_dir: str, is_first: bool) -> None:
        """Write into `model_dir`, on process 0 only."""
        self._has_failed = False
        self._writer: metric_writers.MetricWriter | None = None
        self._attempt(self._open, model_dir, is_first)

    def _open(self, model_dir: str, is_first: bool) -> None:
        self._writer = metric_writers.create_default_writer(model_dir, just_logging=not is_first)

    def _attempt(self, write: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            write(*args, **kwargs)
        except Exception as error:  # OSError, TensorFlow's own, or those of CLU's threads
            if not self._has_failed:
                _log.warning('TensorBoard files cannot be written (%s): training goes on without', ' '.join(str(error).split()))
            self._has_failed = True

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return the writer's method of this name (`write_scalars`, `flush`, ...), which does not raise."""
        if self._writer is None:
            return lambda *args, **kwargs: None
        method = getattr(self._writer, name)
        return lambda *args, **kwargs: self._attempt(method, *args, **kwargs)
