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
from jaxtyping import Array, Float


def flat_dot(x: Float[Array, 'k'], kernel: Float[Array, 'k n']) -> Float[Array, 'n']:
    """Multiply one row by a matrix, y = x W, so that it stays one flat product when x is lifted.

    Equals `jnp.dot`; derivatives of any order and both modes exist. If the kernel is lifted too, it falls back on an
    ordinary batched product.
    """
    return _flat_dot.bind(x, kernel)


def flat_add(x: Float[Array, 'n'], bias: Float[Array, 'n']) -> Float[Array, 'n']:
    """Add a bias to one row, y = x + b, so that the bias's gradient is one flat sum over rows when x is lifted."""
    return _flat_add.bind(x, bias)


def _rows(x: Float[Array, '*lifted k']) -> Float[Array, 'rows k']:
    return x.reshape(-1, x.shape[-1])


def _dot(x: Float[Array, '*lifted k'], kernel: Float[Array, 'k n']) -> Float[Array, '*lifted n']:
    return jnp.dot(_rows(x), kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def _outer(x: Float[Array, '*lifted k'], y: Float[Array, '*lifted n']) -> Float[Array, 'k n']:
    # Not x.T y: for a single output XLA would write the transposed activation to memory.
    return jax.lax.dot_general(_rows(x), _rows(y), (((0,), (0,)), ((), ())))


def _add(x: Float[Array, '*lifted n'], bias: Float[Array, 'n']) -> Float[Array, '*lifted n']:
    return (_rows(x) + bias[None, :]).reshape(x.shape)


def _sum(x: Float[Array, '*lifted n']) -> Float[Array, 'n']:
    return jnp.sum(_rows(x), axis=0)


_flat_dot, _flat_outer = Primitive('flat_dot'), Primitive('flat_outer')
_flat_add, _flat_sum = Primitive('flat_add'), Primitive('flat_sum')


def _define(primitive: Primitive, compute: Callable, shape: Callable, *, keeps_rows: bool) -> None:
    """Give a primitive its meaning, its shape, and its lift.

    Where only the first argument is lifted and rows are kept, a lifted axis is one more leading axis.
    """

    def lift(args: tuple, axes: tuple) -> tuple[Array, int]:
        if keeps_rows and axes[1:] == (None,):
            return primitive.bind(jnp.moveaxis(args[0], axes[0], 0), args[1]), 0
        return jax.vmap(compute, axes)(*args), 0

    primitive.def_impl(jax.jit(compute))
    primitive.def_abstract_eval(lambda *args: args[0].update(shape=shape(*args), weak_type=False))
    mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
    batching.primitive_batchers[primitive] = lift


# Each primitive with its derivative (d) and its transposition, for rows r (all leading axes together). A star marks the
# cotangent: Y* is the gradient of a loss by Y, and transposition says what the gradients by the arguments then are.
#
# flat_dot: Y = X W, that is y_r = x_r W.
#   dY = dX W + X dW
#   X* = Y* W^T (flat_dot), W* = X^T Y* = sum_r x_r^T y_r* (flat_outer)
_define(_flat_dot, _dot, lambda x, kernel: (*x.shape[:-1], kernel.shape[-1]), keeps_rows=True)
ad.defbilinear(_flat_dot, lambda ct, x, kernel: _flat_dot.bind(ct, kernel.T), lambda ct, x, kernel: _flat_outer.bind(x, ct))

# flat_outer: Z = X^T Y = sum_r x_r^T y_r.
#   dZ = dX^T Y + X^T dY
#   X* = Y Z*^T (flat_dot), Y* = X Z* (flat_dot)
_define(_flat_outer, _outer, lambda x, y: (x.shape[-1], y.shape[-1]), keeps_rows=False)
ad.defbilinear(_flat_outer, lambda ct, x, y: _flat_dot.bind(y, ct.T), lambda ct, x, y: _flat_dot.bind(x, ct))

# flat_add: y_r = x_r + b.
#   dy_r = dx_r + db
#   x_r* = y_r*, b* = sum_r y_r* (flat_sum)
_define(_flat_add, _add, lambda x, bias: x.shape, keeps_rows=True)
ad.deflinear2(_flat_add, lambda ct, x, bias: [ct, _flat_sum.bind(ct)])

# flat_sum: s = sum_r x_r.
#   ds = sum_r dx_r
#   x_r* = s* for every r
_define(_flat_sum, _sum, lambda x: x.shape[-1:], keeps_rows=False)
ad.deflinear2(_flat_sum, lambda ct, x: [jnp.broadcast_to(ct, x.aval.shape)])
