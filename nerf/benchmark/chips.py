"""Accelerators that programs are compiled for ahead of time: how they are named, and what they can do at most."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.experimental import topologies

from nerf.errors import UserError, not_installed

PLATFORMS = ('tpu', 'gpu')
DESCRIPTIONS = Path(__file__).parent  # of GPUs, as XLA reads them
ONE_CHIP = {'chips_per_host_bounds': [1, 1, 1]}  # of a TPU: a host has four of them unless this is said


@dataclasses.dataclass(frozen=True)
class Chip:
    """Limits of one device, by its maker: FLOP/s of bfloat16 products, bytes/s of its memory, and bytes of that."""

    flops: float
    bandwidth: float
    memory: float


GIB = 2**30
# By the name that JAX has for the kind of device.
CHIPS = {
    'TPU v4': Chip(275e12, 1228e9, 32 * GIB),
    'TPU v5 lite': Chip(197e12, 819e9, 16 * GIB),
    'TPU v5': Chip(459e12, 2765e9, 95 * GIB),
    'TPU v6 lite': Chip(918e12, 1640e9, 32 * GIB),
    'NVIDIA H100 80GB HBM3': Chip(989e12, 3352e9, 79.1 * GIB),
}


def describe_devices(platform: str, topology: str) -> Sequence[Any]:
    """Return the devices of a topology that need not be there: of TPUs as v5e:2x4; of a GPU as h100, or a description's file.

    Raises:
        UserError: the compiler for the platform is not installed, or knows no such topology.
    """
    try:
        if platform == 'tpu':
            one = ONE_CHIP if topology.partition(':')[2] in ('1x1', '1x1x1') else {}
            return topologies.get_topology_desc(topology, 'tpu', **one).devices
        description = read_description(topology)
        return topologies.get_topology_desc('', 'cuda', target_config=description, topology='1x1x1').devices
    except (ImportError, RuntimeError, ValueError, NotImplementedError, jax.errors.JaxRuntimeError) as error:
        if is_missing(platform):
            package = {'tpu': 'libtpu', 'gpu': 'jax_cuda12_plugin'}[platform]
            raise not_installed(package, f'which compiles for a {platform} that is not there', f'aot-{platform}') from error
        reason = str(error).splitlines()[0]
        raise UserError(
            f'--topology={topology}: {reason}; expected the likes of v5e:2x4, or h100 with --platform=gpu'
        ) from error


def is_missing(platform: str) -> bool:
    """Return whether the compiler of a platform is not installed."""
    from importlib.util import find_spec

    names = {'tpu': ('libtpu',), 'gpu': ('jax_cuda12_plugin', 'jax_cuda13_plugin')}[platform]
    return not any(map(find_spec, names))


def read_description(name: str) -> str:
    """Read the description of a GPU: one of ours by its name, or a file.

    Raises:
        UserError: there is neither.
    """
    for path in (DESCRIPTIONS / f'{name}.txtpb', Path(name)):
        if path.is_file():
            return path.read_text()
    ours = ', '.join(sorted(path.stem for path in DESCRIPTIONS.glob('*.txtpb')))
    raise UserError(f'--topology={name}: found no such description of a GPU, expected {ours} or a .txtpb file')


def chip_of(device: Any) -> Chip:
    """Return the limits of a device's kind.

    Raises:
        UserError: they are not known.
    """
    if device.device_kind not in CHIPS:
        raise UserError(f'--topology: the limits of {device.device_kind} are not known, only those of {", ".join(CHIPS)}')
    return CHIPS[device.device_kind]
