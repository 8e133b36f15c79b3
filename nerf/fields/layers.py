"""Layers that fields are made of."""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from nerf.flat import flat_add, flat_dot
from nerf.ray.structs import Array


class Dense(nn.Module):
    """Linen's Dense for one sample, [k] -> [features], whose product and bias stay flat when lifted.

    Attributes:
        features: outputs.
        use_bias: whether a bias is added.
        kernel_init: initialiser of the kernel [k, features].
        compute_dtype: of the product alone; parameters, bias, sums and what goes in and out stay float32.
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x W + b."""
        kernel = self.param('kernel', self.kernel_init, (x.shape[0], self.features))
        x = flat_dot(x.astype(self.compute_dtype), kernel.astype(self.compute_dtype)).astype(jnp.float32)
        return flat_add(x, self.param('bias', nn.initializers.zeros, (self.features,))) if self.use_bias else x


def joint_glorot_uniform(inputs: int) -> nn.initializers.Initializer:
    """Glorot-uniform initialisation for one block of a layer that has `inputs` inputs in all blocks together."""

    def initialise(key: Array, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> Array:
        limit = jnp.sqrt(6.0 / (inputs + shape[1]))
        return jax.random.uniform(key, shape, dtype, -limit, limit)

    return initialise


class RadianceMLP(nn.Module):
    """The MLP of NeRF (figure 7 of the paper): encoded position -> density; with the view direction -> colour.

    A layer that joins two inputs is written as a sum of two layers, W_1 a + W_2 b, initialised as the one layer it
    equals. For features and view direction, W_2's share is then computed once per ray (lifted with the direction
    unmapped); for the skip connection, no joined activations are copied.

    Attributes:
        depth, width: of the trunk.
        skip: the encoded position joins the activations again after layers skip, 2 skip, ... (counted from 0).
        view_width: of the view-direction layer.
        use_viewdirs: whether colour depends on the view direction.
        compute_dtype: see `Dense`.
    """

    depth: int
    width: int
    skip: int
    view_width: int
    use_viewdirs: bool
    compute_dtype: str = 'float32'

    @nn.compact
    def __call__(self, encoded: Array, encoded_viewdir: Array) -> tuple[Array, Array]:
        """Raw density [] and raw colour [3] (before their activations) of one encoded sample [k] seen along [m]."""
        dense = functools.partial(Dense, compute_dtype=self.compute_dtype)
        x = encoded
        for i in range(self.depth):
            if i > 1 and (i - 1) % self.skip == 0:
                joint = joint_glorot_uniform(self.width + encoded.shape[0])
                skipped = dense(self.width, name=f'layer_{i}_encoded', kernel_init=joint, use_bias=False)(encoded)
                x = nn.relu(dense(self.width, name=f'layer_{i}', kernel_init=joint)(x) + skipped)
            else:
                x = nn.relu(dense(self.width, name=f'layer_{i}')(x))
        raw_density = dense(1, name='density')(x)[0]
        if self.use_viewdirs:
            features = dense(self.width, name='bottleneck')(x)
            joint = joint_glorot_uniform(self.width + encoded_viewdir.shape[0])
            x = dense(self.view_width, name='view_features', kernel_init=joint)(features)
            x += dense(self.view_width, name='view_direction', kernel_init=joint, use_bias=False)(encoded_viewdir)
            x = nn.relu(x)
        return raw_density, dense(3, name='rgb')(x)
