"""Matrix products and sums that stay flat however often they are lifted.

A matrix product that is lifted twice reaches XLA with two leading axes, and the gradient of its kernel then
contracts over both, which costs a transposed copy of a large activation on CPUs. `flat_dot` is a matrix product
that stays flat however often it is lifted: what is lowered is always [rows, features] x [features, outputs].
`flat_add` does the same for a bias and the sum that is its gradient.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def flat_dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Matrix product x kernel, [k] x [k, n] -> [n], that stays one flat product when x is lifted.

    Equals `jnp.dot`; derivatives of any order and both modes exist. If the kernel is lifted too, it falls back on an
    ordinary batched product.
    """
    return _flat_dot.bind(x, kernel)


def flat_add(x: jax.Array, bias: jax.Array) -> jax.Array:
    """Sum x + bias, [n] + [n] -> [n], the gradient of whose bias is one flat sum over rows when x is lifted."""
    return _flat_add.bind(x, bias)


def _rows(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])


def _dot(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jnp.dot(_rows(x), kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def _outer(x: jax.Array, y: jax.Array) -> jax.Array:
    # Not x.T y: for a single output XLA would write the transposed activation to memory.
    return jax.lax.dot_general(_rows(x), _rows(y), (((0,), (0,)), ((), ())))


def _add(x: jax.Array, bias: jax.Array) -> jax.Array:
    return (_rows(x) + bias[None, :]).reshape(x.shape)


def _sum(x: jax.Array) -> jax.Array:
    return jnp.sum(_rows(x), axis=0)


# x [..., k], kernel [k, n] -> [..., n], and for its gradient x [..., k], y [..., n] -> [k, n];
# x [..., n], bias [n] -> [..., n], and for its gradient x [..., n] -> [n].
_flat_dot, _flat_outer = Primitive('flat_dot'), Primitive('flat_outer')
_flat_add, _flat_sum = Primitive('flat_add'), Primitive('flat_sum')


def _define(primitive: Primitive, compute: Callable, shape: Callable, *, keeps_rows: bool) -> None:
    """Give a primitive its meaning, its shape, and its lift.

    Where only the first argument is lifted and rows are kept, a lifted axis is one more leading axis.
    """

    def lift(args: tuple, axes: tuple) -> tuple[jax.Array, int]:
        if keeps_rows and axes[1:] == (None,):
            return primitive.bind(jnp.moveaxis(args[0], axes[0], 0), args[1]), 0
        return jax.vmap(compute, axes)(*args), 0

    primitive.def_impl(jax.jit(compute))
    primitive.def_abstract_eval(lambda *args: args[0].update(shape=shape(*args), weak_type=False))
    mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
    batching.primitive_batchers[primitive] = lift


_define(_flat_dot, _dot, lambda x, kernel: (*x.shape[:-1], kernel.shape[-1]), keeps_rows=True)
_define(_flat_outer, _outer, lambda x, y: (x.shape[-1], y.shape[-1]), keeps_rows=False)
_define(_flat_add, _add, lambda x, bias: x.shape, keeps_rows=True)
_define(_flat_sum, _sum, lambda x: x.shape[-1:], keeps_rows=False)
ad.defbilinear(_flat_dot, lambda ct, x, kernel: _flat_dot.bind(ct, kernel.T), lambda ct, x, kernel: _flat_outer.bind(x, ct))
ad.defbilinear(_flat_outer, lambda ct, x, y: _flat_dot.bind(y, ct.T), lambda ct, x, y: _flat_dot.bind(x, ct))
ad.deflinear2(_flat_add, lambda ct, x, bias: [ct, _flat_sum.bind(ct)])
ad.deflinear2(_flat_sum, lambda ct, x: [jnp.broadcast_to(ct, x.aval.shape)])
