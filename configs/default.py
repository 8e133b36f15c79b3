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


COMMENTS = {
    'scene': 'name of the scene: a folder in --data_dir; empty: --data_dir is the scene, or without one, the built-in scene',
    'scene_type': 'object, forward_facing or unbounded: decides coordinates, background and what lies at infinity',
    'seed': 'of parameters and batches',
    'num_steps': 'how many steps to train; more of them train a finished run longer',
    'batch_size': 'rays of one step, over all devices: a multiple of their number',
    'model_name': 'nerf, mipnerf, mipnerf360 or instant: one of nerf.models.MODELS',
    'model': "fields of the model's constructor, see its class",
    'compute_dtype': 'of the products in Dense layers: float32 or bfloat16',
    'losses': 'weight of a loss of one pixel, see nerf.ray.losses',
    'regularisers': 'weight of a loss of the parameters, see nerf.fields.regularisers',
    'photos': 'numbers of each photo that are trained, and their learning rate, see nerf.ray.photos',
    'data.format': 'one of nerf.data.formats.FORMATS; recognised by what lies in --data_dir unless set',
    'data.factor': 'images are made this many times smaller',
    'data.width': 'or this wide, px',
    'data.near': 'where rays begin, world; decided by the format of the data unless set',
    'data.far': 'where rays end, world; decided by the format of the data unless set',
    'data.normalise': 'photos: move and scale the cameras as the scene type wants them',
    'data.background': 'white, black or random; decided by scene_type unless set',
    'data.batching': 'mixed: rays of a step are of all images; or single_image',
    'data.crop_steps': "train so many steps on the images' central half first",
    'data.paper_pixels': 'rays through the corners of pixels, as in the paper',
    'data.paper_alpha': 'images shrunk with straight alpha, as in the paper',
    'data.area_weighting': 'scenes in several sizes: pixels count by the area they cover',
    'test_every': 'every Nth test view, or every Nth image held out',
    'optimizer.learning_rate': 'of Adam, at the start',
    'optimizer.final_learning_rate': 'at the end, after an exponential decay',
    'optimizer.decay_steps': 'steps until the final rate; the whole run unless set',
    'optimizer.warmup_steps': 'steps over which the rate rises first',
    'optimizer.adam_eps': "Adam's epsilon",
    'optimizer.clip_norm': 'largest norm of the gradient; not limited unless set',
    'log_every': 'steps between two means in the log and in TensorBoard; also after the first steps and the last',
    'eval_every': 'steps between two validation views, also after the last; 0: none',
    'checkpoint_every': 'steps between two checkpoints, of which the newest are kept',
    'keep_steps': 'steps whose checkpoints are kept for good',
    'ray_chunk': 'rays whose gradient is computed at once on each device, for memory and speed alone; what fits unless set',
    'render_chunk': 'rays rendered at a time on each device; what fits unless set',
    'skip_empty': 'render only where the trained scene has something',
    'final_tasks': 'done when training is: names of nerf.tasks.TASKS',
    'video.num_frames': 'of the video',
    'video.fps': 'frames per second of the video',
}
"""What each entry is; fields of `model` are described in the docstring of the model's class. `--help` prints them."""


def get_config(scene: str = '') -> ml_collections.ConfigDict:
    """Return the defaults; `None` entries are decided by `scene_type` or by the format of the data, unless set."""
    config = ml_collections.ConfigDict()
    config.scene = scene
    config.scene_type = 'object'
    config.seed = 0
    config.num_steps = 1000
    config.batch_size = 1024

    config.model_name = ''
    config.model = ml_collections.ConfigDict()
    config.compute_dtype = 'float32'
    config.losses = ml_collections.ConfigDict({'mse': 1.0})
    config.regularisers = ml_collections.ConfigDict()
    config.photos = ml_collections.ConfigDict()

    config.data = ml_collections.ConfigDict()
    config.data.format = placeholder(str)
    config.data.factor = 1
    config.data.width = placeholder(int)
    config.data.near = placeholder(float)
    config.data.far = placeholder(float)
    config.data.normalise = True
    config.data.background = placeholder(str)
    config.data.batching = 'mixed'
    config.data.crop_steps = 0
    config.data.paper_pixels = False
    config.data.paper_alpha = False
    config.data.area_weighting = True
    config.test_every = placeholder(int)

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 5e-4
    config.optimizer.final_learning_rate = 5e-6
    config.optimizer.decay_steps = placeholder(int)
    config.optimizer.warmup_steps = 0
    config.optimizer.adam_eps = 1e-8
    config.optimizer.clip_norm = placeholder(float)

    config.log_every = 100
    config.eval_every = 1000
    config.checkpoint_every = 1000
    config.keep_steps = ()
    config.ray_chunk = placeholder(int)
    config.render_chunk = placeholder(int)
    config.skip_empty = True
    config.final_tasks = ('test',)
    config.video = ml_collections.ConfigDict({'num_frames': 120, 'fps': 30})
    return config
