"""What is known of versions of the accelerators' compilers: a fault that makes training slow is said at the start."""

import importlib.metadata
import logging
import os
import re

import jax

FIRST_SLOW, FIRST_MENDED = (0, 10, 2), (0, 11, 1)
_log = logging.getLogger('nerf')


def warn_of_slow_scatter() -> None:
    """Warn where jaxlib compiles additions at indices into compare-and-swap loops: 0.10.2 to 0.11.0 on NVIDIA GPUs.

    Where many samples share a row of a hash grid, its gradient then takes hundreds of times as long (jax-ml/jax#38806).
    """
    device = jax.local_devices()[0]
    if device.platform not in ('gpu', 'cuda') or 'rocm' in device.client.platform_version.lower():
        return
    version = importlib.metadata.version('jaxlib')
    is_slow = FIRST_SLOW <= tuple(map(int, re.findall(r'\d+', version)[:3])) < FIRST_MENDED
    if is_slow and 'nvptx-allow-ftz-atomics' not in os.environ.get('XLA_FLAGS', ''):
        _log.warning(
            'jaxlib %s: its additions at indices are up to 2000 times too slow on NVIDIA GPUs, and with them the gradient of a '
            'hash grid; set XLA_FLAGS=--xla_backend_extra_options=-nvptx-allow-ftz-atomics, or install jaxlib 0.11.1 or newer '
            '(Python 3.12 or newer has it), or 0.10.1',
            version,
        )
