"""Forced devices: a CPU taken for several, so that code for many devices can be run and debugged anywhere."""

import os
import sys

from nerf.errors import UserError


def force_cpu_devices(count: int) -> None:
    """Have JAX take this machine's CPU for `count` devices; to be called before anything imports JAX.

    Raises:
        UserError: JAX has been imported already, with another number of devices.
    """
    if 'jax' in sys.modules:
        found = sys.modules['jax'].local_device_count()
        if found != count:
            raise UserError(
                f'JAX runs with {found} device(s) already, expected {count}: restart the kernel, and run this first'
            )
        return
    flags = [flag for flag in os.environ.get('XLA_FLAGS', '').split() if 'host_platform_device_count' not in flag]
    os.environ['XLA_FLAGS'] = ' '.join([*flags, f'--xla_force_host_platform_device_count={count}'])
    os.environ['JAX_PLATFORMS'] = 'cpu'
