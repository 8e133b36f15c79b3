"""What the lift is measured against: the same models written by hand for batches, [rays * samples, features].

Nothing else uses this. Parameters have the structure of the lifted models', so that outputs and gradients can be
compared; keys and samples are the same; the view direction's share is computed once per ray here too.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nerf.fields.hashgrid import TABLE_GAIN
from nerf.fields.layers import Trunk
from nerf.models.instant import COARSEST, PROPOSAL_GRID
from nerf.ray.encodings import spherical_harmonics
from nerf.ray.hashgrid import Grid
from nerf.ray.maths import sin_or_cos
from nerf.ray.structs import Array, Level, Ray

EPS = float(jnp.finfo(jnp.float32).eps)


def dense(params: Mapping[str, Array], rows: Array, joined: Array | None = None) -> Array:
    """Apply a Dense layer to rows of samples, [rows, k] -> [rows, n]; `joined` is its second input, [rows, m] or [rays, m]."""
    y = rows @ params['kernel']
    y = y + params['bias'] if 'bias' in params else y
    if joined is None:
        return y
    share = joined @ params['second_kernel']
    return (y.reshape(share.shape[0], -1, y.shape[-1]) + share[:, None]).reshape(y.shape)


def mlp(params: Any, fields: Mapping[str, Any], encoded: Array, encoded_viewdirs: Array) -> tuple[Array, Array]:
    """Raw density [rows] and colour [rows, 3] of [rows, k] samples on rays seen along [rays, m]."""
    x = encoded
    for i in range(fields['depth']):
        joins = i > 1 and (i - 1) % Trunk.SKIP == 0
        x = nn.relu(dense(params['trunk'][f'layer_{i}'], x, encoded if joins else None))
    raw_density, head = dense(params['raw_density'], x)[:, 0], params['head']
    if fields['use_viewdirs']:
        x = nn.relu(dense(head['view'], dense(head['bottleneck'], x), encoded_viewdirs))
    return raw_density, dense(head['rgb'], x)


def encode(x: Array, min_degree: int, max_degree: int) -> tuple[Array, Array]:
    """Sines and cosines, and the squared scales of their angles, [rows, k] -> [rows, 2 k degrees] and [2 k degrees]."""
    scales = np.repeat(np.tile(2.0 ** np.arange(min_degree, max_degree), 2), x.shape[1]).astype(np.float32)
    angles = scales * jnp.tile(x, 2 * (max_degree - min_degree))
    is_cosine = np.arange(angles.shape[1]) >= angles.shape[1] // 2
    return sin_or_cos(angles, np.broadcast_to(is_cosine, angles.shape)), scales**2


def encode_viewdirs(viewdirs: Array, degree: int) -> Array:
    """Encode view directions, [rays, 3] -> [rays, 3 + 6 degree]."""
    return jnp.concatenate([viewdirs, encode(viewdirs, 0, degree)[0]], axis=-1)


def stratified(keys: Array | None, rays: int, num: int) -> Array:
    """Jittered positions, [rays, num]."""
    grid = jnp.linspace(0.0, 1.0, num)
    if keys is None:
        return jnp.broadcast_to(grid, (rays, num))
    middle = 0.5 * (grid[1:] + grid[:-1])
    lower, upper = jnp.concatenate([grid[:1], middle]), jnp.concatenate([middle, grid[-1:]])
    return lower + (upper - lower) * jax.vmap(lambda key: jax.random.uniform(key, (num,)))(keys)


def resample(keys: Array | None, s: Array, weights: Array, num: int) -> Array:
    """Positions distributed like the step functions, [rays, n+1], [rays, n] -> [rays, num]."""
    rays = s.shape[0]
    share = weights / jnp.sum(weights, axis=-1, keepdims=True)
    inner = jnp.minimum(1.0, jnp.cumsum(share[:, :-1], axis=-1))
    cdf = jnp.concatenate([jnp.zeros((rays, 1)), inner, jnp.ones((rays, 1))], axis=-1)
    if keys is None:
        u = jnp.broadcast_to(jnp.linspace(0.0, 1.0 - EPS, num), (rays, num))
    else:
        jitter = jax.vmap(lambda key: jax.random.uniform(key, (num,), maxval=1.0 - EPS * num))(keys)
        u = (jnp.arange(num) + jitter) / num
    before = u[:, :, None] >= cdf[:, None, :]

    def around(x: Array) -> tuple[Array, Array]:
        x0 = jnp.max(jnp.where(before, x[:, None, :], x[:, None, :1]), axis=-1)
        x1 = jnp.min(jnp.where(before, x[:, None, -1:], x[:, None, :]), axis=-1)
        return x0, x1

    (c0, c1), (s0, s1) = around(cdf), around(s)
    gap = c1 - c0
    fraction = jnp.clip(jnp.where(gap > 0, (u - c0) / jnp.where(gap > 0, gap, 1.0), 0.0), 0.0, 1.0)
    return jax.lax.stop_gradient(s0 + fraction * (s1 - s0))


def weights_of(density: Array, delta: Array) -> Array:
    """Probability to stop in each interval, [rays, n]."""
    optical = density * delta
    before = jnp.concatenate([jnp.zeros_like(optical[:, :1]), jnp.cumsum(optical[:, :-1], axis=-1)], axis=-1)
    return -jnp.expm1(-optical) * jnp.exp(-before)


def split(keys: Array | None, num: int) -> list[Array | None]:
    """Keys of all rays, [rays] -> num times [rays]."""
    return [None] * num if keys is None else list(jnp.moveaxis(jax.vmap(lambda key: jax.random.split(key, num))(keys), 1, 0))


def mipnerf(fields: Mapping[str, Any]) -> Callable[[Any, Ray, Array | None], list[Level]]:
    """Make mip-NeRF with cones and linear spacing, (params, rays, keys) -> levels."""

    def look(params: Any, s: Array, rays: Ray) -> Level:
        t = rays.near[:, None] * (1 - s) + rays.far[:, None] * s
        t0, t1 = t[:, :-1], t[:, 1:]
        middle, square = 0.5 * (t0 + t1), (0.5 * (t1 - t0)) ** 2
        share = square / (3 * middle**2 + square)
        t_mean = middle + 2 * middle * share
        t_var = square / 3 - (4 / 15) * share**2 * (12 * middle**2 - square)
        r_var = rays.radius[:, None] ** 2 * (middle**2 / 4 + (5 / 12) * square - (4 / 15) * square * share)
        d = rays.direction
        mean = rays.origin[:, None] + t_mean[:, :, None] * d[:, None]
        across = 1 - d**2 / jnp.sum(d**2, axis=-1, keepdims=True)
        cov_diagonal = t_var[:, :, None] * (d**2)[:, None] + r_var[:, :, None] * across[:, None]

        waves, squared_scales = encode(mean.reshape(-1, 3), 0, fields['position_degree'])
        encoded = waves * jnp.exp(-0.5 * squared_scales * jnp.tile(cov_diagonal.reshape(-1, 3), 2 * fields['position_degree']))
        viewdirs = encode_viewdirs(rays.viewdir, fields['view_degree'])
        raw_density, raw_rgb = mlp(params['coarse'], fields, encoded, viewdirs)
        density = nn.softplus(raw_density - 1).reshape(middle.shape)
        rgb = (nn.sigmoid(raw_rgb) * 1.002 - 0.001).reshape(*middle.shape, 3)
        delta = (t1 - t0) * jnp.sqrt(jnp.sum(d**2, axis=-1, keepdims=True))
        return Level(s=s, t=t, density=density, rgb=rgb, weights=weights_of(density, delta))

    def levels(params: Any, rays: Ray, keys: Array | None) -> list[Level]:
        coarse_keys, fine_keys = split(keys, 2)
        s = stratified(coarse_keys, rays.origin.shape[0], fields['num_samples'] + 1)
        coarse = look(params, s, rays)
        w = coarse.weights
        padded = jnp.concatenate([w[:, :1], w, w[:, -1:]], axis=-1)
        highest = jnp.maximum(padded[:, :-1], padded[:, 1:])
        envelope = 0.5 * (highest[:, :-1] + highest[:, 1:]) + 0.01
        s = resample(fine_keys, s, envelope, fields['num_samples'] + 1)
        return [coarse, look(params, s, rays)]

    return levels


def nerf(fields: Mapping[str, Any]) -> Callable[[Any, Ray, Array | None], list[Level]]:
    """Make NeRF with linear spacing and without density noise, (params, rays, keys) -> levels."""
    activation = {'relu': nn.relu, 'softplus': nn.softplus}[fields['density_activation']]

    def look(params: Any, s: Array, rays: Ray) -> Level:
        t = rays.near[:, None] * (1 - s) + rays.far[:, None] * s
        points = (rays.origin[:, None] + t[:, :, None] * rays.direction[:, None]).reshape(-1, 3)
        encoded = jnp.concatenate([points, encode(points, 0, fields['position_degree'])[0]], axis=-1)
        raw_density, raw_rgb = mlp(params, fields, encoded, encode_viewdirs(rays.viewdir, fields['view_degree']))
        density, rgb = activation(raw_density).reshape(t.shape), nn.sigmoid(raw_rgb).reshape(*t.shape, 3)
        gaps = jnp.concatenate([t[:, 1:] - t[:, :-1], jnp.full_like(t[:, :1], 1e10)], axis=-1)
        delta = gaps * jnp.sqrt(jnp.sum(rays.direction**2, axis=-1, keepdims=True))
        s, t = (jnp.concatenate([x, end], axis=-1) for x, end in ((s, jnp.ones_like(s[:, :1])), (t, rays.far[:, None])))
        weights = weights_of(density, delta)
        return Level(s=s, t=t, density=density, rgb=rgb, weights=weights, sample_at=0.0)

    def levels(params: Any, rays: Ray, keys: Array | None) -> list[Level]:
        coarse_keys, fine_keys, _, _ = split(keys, 4)
        s = stratified(coarse_keys, rays.origin.shape[0], fields['num_coarse'])
        coarse = look(params['coarse'], s, rays)
        middles = 0.5 * (s[:, 1:] + s[:, :-1])
        found = jax.lax.stop_gradient(coarse.weights[:, 1:-1]) + 1e-5
        s_fine = resample(fine_keys, middles, found, fields['num_fine'])
        return [coarse, look(params['fine'], jnp.sort(jnp.concatenate([s, s_fine], axis=-1), axis=-1), rays)]

    return levels


def lookup(grid: Grid, table: Array, points: Array) -> Array:
    """Features of points in the unit cube, [rows, 3] -> [rows, L, F], one gather for all points, levels and corners."""
    cells = grid.resolutions.astype(np.float32)
    position = jnp.clip(points, 0.0, 1.0)[:, :, None] * cells
    cell = jnp.minimum(jnp.floor(position), cells - 1)
    upper = position - cell
    lower_row = cell.astype(jnp.uint32) * grid.strides.T
    at, share = (lower_row, lower_row + grid.strides.T), (1 - upper, upper)
    rows, weights = [], []
    for corner in itertools.product((0, 1), repeat=3):
        x, y, z = (at[side][:, axis] for axis, side in enumerate(corner))
        hashed = (x ^ y ^ z) & np.uint32(2**grid.log2_rows - 1)
        rows.append((jnp.where(grid.is_dense, x + y + z, hashed) + grid.first_rows).astype(jnp.int32))
        weights.append(share[corner[0]][:, 0] * share[corner[1]][:, 1] * share[corner[2]][:, 2])
    row, weight = jax.lax.optimization_barrier((jnp.stack(rows, 1), jnp.stack(weights, 1)))
    values = jax.lax.optimization_barrier(table.at[row].get(mode='promise_in_bounds'))
    return sum(values[:, c] * weight[:, c, :, None] for c in range(8))


def hash_mlp(params: Any, fields: Mapping[str, Any], features: Array, encoded_viewdirs: Array) -> tuple[Array, Array]:
    """Raw density [rows] and colour [rows, 3] of features [rows, k] on rays seen along [rays, m]."""
    latents = dense(params['density_1'], nn.relu(dense(params['density_0'], features)))
    x = nn.relu(dense(params['colour_0'], latents, encoded_viewdirs))
    for i in range(1, fields['colour_depth']):
        x = nn.relu(dense(params[f'colour_{i}'], x))
    return latents[:, 0], dense(params['rgb'], x)


def instant(fields: Mapping[str, Any]) -> Callable[[Any, Ray, Array | None], list[Level]]:
    """Make the hash-grid model with linear spacing, (params, rays, keys) -> levels."""
    grid = Grid(fields['num_levels'], COARSEST, fields['finest'], fields['log2_rows'])

    def place(s: Array, rays: Ray) -> tuple[Array, Array, Array]:
        t = rays.near[:, None] * (1 - s) + rays.far[:, None] * s
        middles = 0.5 * (t[:, 1:] + t[:, :-1])
        points = rays.origin[:, None] + middles[:, :, None] * rays.direction[:, None]
        delta = (t[:, 1:] - t[:, :-1]) * jnp.sqrt(jnp.sum(rays.direction**2, axis=-1, keepdims=True))
        return t, ((points + fields['bound']) / (2 * fields['bound'])).reshape(-1, 3), delta

    def levels(params: Any, rays: Ray, keys: Array | None) -> list[Level]:
        proposal_keys, keys = split(keys, 2)
        s = stratified(proposal_keys, rays.origin.shape[0], fields['num_proposal'] + 1)
        t, points, delta = place(s, rays)
        raw = TABLE_GAIN * jnp.sum(lookup(PROPOSAL_GRID, params['proposal']['table'], points), axis=(1, 2))
        density = jnp.exp(jnp.minimum(raw, 15.0)).reshape(delta.shape)
        weights = weights_of(density, delta)
        proposal = Level(s=s, t=t, density=density, rgb=jnp.zeros((*delta.shape, 3)), weights=weights)

        s = resample(keys, s, weights + 0.01, fields['num_samples'] + 1)
        t, points, delta = place(s, rays)
        features = TABLE_GAIN * lookup(grid, params['field']['table'], points).reshape(points.shape[0], -1)
        viewdirs = jax.vmap(lambda viewdir: spherical_harmonics(viewdir, fields['view_degree']))(rays.viewdir)
        raw_density, raw_rgb = hash_mlp(params['field'], fields, features, viewdirs)
        density = jnp.exp(jnp.minimum(raw_density, 15.0)).reshape(delta.shape)
        rgb = nn.sigmoid(raw_rgb).reshape(*delta.shape, 3)
        return [proposal, Level(s=s, t=t, density=density, rgb=rgb, weights=weights_of(density, delta))]

    return levels


REFERENCES: dict[str, Callable[[Mapping[str, Any]], Callable[[Any, Ray, Array | None], list[Level]]]] = {
    'mipnerf': mipnerf,
    'nerf': nerf,
    'instant': instant,
}
