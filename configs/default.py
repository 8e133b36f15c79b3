"""What every config starts from: the name and the type of every entry; each other file says what differs."""

import ml_collections
from ml_collections.config_dict import placeholder

from nerf.models import default_fields
from nerf.scene_types import MODEL_FIELDS


def model_config(name: str) -> ml_collections.ConfigDict:
    """Return the constructor fields of a model; those that `scene_type` decides are open."""
    fields = default_fields(name)
    return ml_collections.ConfigDict(
        {field: placeholder(type(value)) if field in MODEL_FIELDS else value for field, value in fields.items()}
    )


def get_config(scene: str = '') -> ml_collections.ConfigDict:
    """Return the defaults; `None` entries are decided by `scene_type` or by the format of the data, unless set."""
    config = ml_collections.ConfigDict()
    config.scene = scene
    config.scene_type = 'object'  # or forward_facing, unbounded
    config.seed = 0
    config.num_steps = 1000
    config.batch_size = 1024

    # The model by name, and its constructor's fields, both filled in by the config of a paper.
    config.model_name = ''
    config.model = ml_collections.ConfigDict()
    config.compute_dtype = 'float32'  # of the products in Dense layers; or bfloat16
    config.losses = ml_collections.ConfigDict({'mse': 1.0})
    config.regularisers = ml_collections.ConfigDict()  # losses of the parameters, see nerf.fields.regularisers
    config.photos = ml_collections.ConfigDict()  # numbers of each photo that are trained, see nerf.ray.photos

    config.data = ml_collections.ConfigDict()
    config.data.format = placeholder(str)  # recognised by what lies in --data_dir
    config.data.factor = 1  # images are made this many times smaller
    config.data.width = placeholder(int)  # or this wide, px
    config.data.near = placeholder(float)
    config.data.far = placeholder(float)
    config.data.normalise = True  # photos: move and scale the cameras as the scene type wants them
    config.data.background = placeholder(str)  # white, black or random
    config.data.batching = 'mixed'  # or single_image
    config.data.crop_steps = 0  # train on the images' central half first
    config.data.paper_pixels = False  # rays through the corners of pixels
    config.data.paper_alpha = False  # images shrunk with straight alpha
    config.data.area_weighting = True  # scenes in several sizes: pixels count by the area they cover
    config.test_every = placeholder(int)  # every Nth test view, or every Nth image held out

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 5e-4
    config.optimizer.final_learning_rate = 5e-6
    config.optimizer.decay_steps = placeholder(int)  # to the final rate; the whole run unless set
    config.optimizer.warmup_steps = 0
    config.optimizer.adam_eps = 1e-8
    config.optimizer.clip_norm = placeholder(float)

    config.log_every = 100
    config.eval_every = 1000
    config.checkpoint_every = 1000
    config.keep_steps = ()
    config.remat_rays = placeholder(int)  # for small accelerators: rays in memory at once, the rest computed twice
    config.render_chunk = placeholder(int)  # rays computed at a time; what fits unless set
    config.skip_empty = True  # render only where the trained scene has something
    config.final_tasks = ('test',)  # done when training is
    config.video = ml_collections.ConfigDict({'num_frames': 120, 'fps': 30})
    return config
