"""What only fresh processes can show: scaling over forced devices, and how long a start takes."""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any


def run(code: str, environment: dict[str, str], cores: set[int] | None = None) -> dict[str, Any]:
    """Run Python code that prints JSON in its last line; pinned to `cores` where the system can."""
    can_pin = cores and hasattr(os, 'sched_setaffinity')
    done = subprocess.run(
        [sys.executable, '-c', code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if can_pin else None,
    )
    return json.loads(done.stdout.splitlines()[-1])


# The compilers of accelerators that are not there must not look for them, nor report that they found none.
AHEAD = {
    'JAX_PLATFORMS': 'cpu',
    'TPU_SKIP_MDS_QUERY': '1',
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-1',
    'TF_CPP_MIN_LOG_LEVEL': '3',
    'TPU_MIN_LOG_LEVEL': '3',
    'TPU_STDERR_LOG_LEVEL': '3',
}


def begin_again_with(environment: dict[str, str]) -> None:
    """Run this command anew in an environment that is read at its start; return if it is in that already."""
    if any(os.environ.get(name) != value for name, value in environment.items()):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, '-m', 'nerf.benchmark', *sys.argv[1:]], {**os.environ, **environment})


SPEED = """
import json, sys
sys.argv = ['benchmark']
from nerf.benchmark.measuring import resolved, train_speed
from nerf.benchmark.workload import Workload
print(json.dumps({{'rays_per_s': train_speed(Workload(resolved({config!r})), {times})[0]}}))
"""


def device_scaling(config_path: str, times: int, counts: tuple[int, ...] = (1, 2)) -> dict[str, float]:
    """Measure rays per second of n forced CPU devices on n cores, with the same global batch."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else list(range(os.cpu_count() or 1))
    speeds = {}
    for count in counts:
        flags = f'{os.environ.get("XLA_FLAGS", "")} --xla_force_host_platform_device_count={count}'
        environment = {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': flags}
        code = SPEED.format(config=config_path, times=times)
        speeds[f'{count} devices, rays/s'] = run(code, environment, set(cores[:count]))['rays_per_s']
    return speeds


START = """
import json, sys, time
started = time.perf_counter()
import jax
from nerf.benchmark.measuring import resolved
from nerf.benchmark.workload import Workload
imported = time.perf_counter()
jax.config.update('jax_compilation_cache_dir', {cache!r})
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.3)
work = Workload(resolved({config!r}), width=32)
made = time.perf_counter()
jax.block_until_ready(work.training(work.lifted_loss)())
stepped = time.perf_counter()
print(json.dumps({{'import': imported - started, 'scene and model': made - imported, 'step': stepped - made}}))
"""


def start_up(config_path: str) -> dict[str, dict[str, float]]:
    """Seconds of a first start, and of a second one that finds its programs compiled."""
    with tempfile.TemporaryDirectory() as cache:
        code = START.format(config=config_path, cache=cache)
        return {'first start': run(code, {}), 'second start': run(code, {})}
