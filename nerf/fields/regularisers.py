"""Regularisers: losses of the parameters alone.

`REGULARISERS` maps the names that a config may weight (`config.regularisers.NAME = weight`) to functions of the model's
parameters (a tree of arrays) that return a number []. To add one, write its function in a file of its own and add one line.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Regulariser = Callable[[Any], Float[Array, '']]


def squared_kernels(params: Any) -> Float[Array, '']:
    """Compute half the sum of squares of all kernels of Dense layers: weight decay, without biases and hash tables.

    Source: Müller et al. 2022, section 4, who use a weight of 1e-6 against MLP weights that grow without a limit.
    """
    kernels = [leaf for path, leaf in jax.tree.leaves_with_path(params) if 'kernel' in str(path[-1])]
    return 0.5 * sum((jnp.sum(kernel**2) for kernel in kernels), start=jnp.zeros(()))


REGULARISERS: dict[str, Regulariser] = {'squared_kernels': squared_kernels}
