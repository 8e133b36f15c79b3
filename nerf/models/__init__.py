"""The models, one paper per file, each for one ray.

`MODELS` maps the names that `config.model_name` may have to classes that keep `nerf.models.protocol.Model`. To add a model,
write it in a file of its own and add one line here; `python -m nerf.models.contract my_module:MyModel` checks it.
"""

from typing import Any

from flax import linen as nn

from nerf.errors import UserError, unknown
from nerf.fields.nerf import ACTIVATIONS
from nerf.models.instant import Instant
from nerf.models.mipnerf import MipNeRF
from nerf.models.mipnerf360 import MipNeRF360
from nerf.models.nerf import NeRF
from nerf.ray.gaussians import RAY_SHAPES
from nerf.ray.spacing import SPACINGS

# Constructor fields that name one of a few ways.
CHOICES = {
    'spacing': SPACINGS,
    'ray_shape': RAY_SHAPES,
    'density_activation': ACTIVATIONS,
    'compute_dtype': ('float32', 'bfloat16'),
}

MODELS: dict[str, type[nn.Module]] = {'nerf': NeRF, 'mipnerf': MipNeRF, 'mipnerf360': MipNeRF360, 'instant': Instant}


def make_model(name: str, fields: Any) -> nn.Module:
    """Make the model of this name with these constructor fields.

    Raises:
        UserError: an unknown model or field, with the known ones.
    """
    if name not in MODELS:
        raise unknown('model_name', name, MODELS)
    known = [field for field in MODELS[name].__dataclass_fields__ if field not in ('parent', 'name')]
    for field, value in fields.items():
        if field not in known:
            raise unknown(f'config.model entry for {name}', field, known)
        if field in CHOICES and value not in CHOICES[field]:
            raise unknown(f'config.model.{field}', value, CHOICES[field])
    try:
        return MODELS[name](**fields)
    except TypeError as error:
        raise UserError(f'config.model of {name}: {error}') from error


def default_fields(name: str) -> dict[str, object]:
    """Return the constructor fields of a model with their defaults, for a config to start from.

    Without `compute_dtype`, which every config has outside `model`, and `nerf.config.resolve` fills in.

    Raises:
        UserError: an unknown model, with the known ones.
    """
    if name not in MODELS:
        raise unknown('model_name', name, MODELS)
    fields = MODELS[name].__dataclass_fields__
    return {field: fields[field].default for field in fields if field not in ('parent', 'name', 'compute_dtype')}
