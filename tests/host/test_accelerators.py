import configparser
import types
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from nerf.host import accelerators

CUDA, ROCM = 'PJRT C API\ncuda 12090', 'PJRT C API\nrocm 60400'


@pytest.mark.parametrize(
    ('version', 'platform', 'described', 'flags', 'is_slow'),
    [
        ('0.10.2', 'gpu', CUDA, '', True),
        ('0.11.0', 'gpu', CUDA, '--xla_gpu_autotune_level=0', True),
        ('0.11.0.dev20260701', 'gpu', CUDA, '', True),
        ('0.10.1', 'gpu', CUDA, '', False),
        ('0.9.12', 'gpu', CUDA, '', False),
        ('0.11.1', 'gpu', CUDA, '', False),
        ('0.12.0.1', 'gpu', CUDA, '', False),
        ('0.10.2', 'gpu', CUDA, '--xla_backend_extra_options=-nvptx-allow-ftz-atomics', False),
        ('0.10.2', 'gpu', ROCM, '', False),
        ('0.10.2', 'cpu', 'cpu', '', False),
        ('0.10.2', 'tpu', 'PJRT C API\nTPU v5 lite', '', False),
    ],
)
def test_slow_additions_are_warned_of_where_they_are_slow(version, platform, described, flags, is_slow, monkeypatch, caplog):
    device = types.SimpleNamespace(platform=platform, client=types.SimpleNamespace(platform_version=described))
    monkeypatch.setattr(accelerators.jax, 'local_devices', lambda: [device])
    monkeypatch.setattr(accelerators.importlib.metadata, 'version', {'jaxlib': version}.__getitem__)
    monkeypatch.setenv('XLA_FLAGS', flags)
    accelerators.warn_of_slow_scatter()
    assert len(caplog.records) == is_slow
    if is_slow:
        assert f'jaxlib {version}' in caplog.text
        assert 'XLA_FLAGS=--xla_backend_extra_options=-nvptx-allow-ftz-atomics' in caplog.text


@pytest.mark.parametrize('extra', ['cuda12', 'cuda13'])
@pytest.mark.parametrize(
    ('python', 'version', 'is_allowed'),
    [('3.11', '0.10.1', True), ('3.11', '0.10.2', False), *[('3.12', v, v > '0.11.0') for v in ('0.10.2', '0.11.0', '0.11.1')]],
)
def test_the_extras_of_nvidia_leave_the_slow_versions_out(extra, python, version, is_allowed):
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / 'setup.cfg')
    asked = map(Requirement, setup['options.extras_require'][extra].strip().splitlines())
    specifiers = {each.name: each.specifier for each in asked if each.marker.evaluate({'python_version': python})}
    assert set(specifiers) == {'jax', 'jaxlib'}
    assert all(specifier.contains(version) == is_allowed for specifier in specifiers.values())
