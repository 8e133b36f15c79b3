"""Neural radiance fields in JAX and Flax, written for one ray and lifted.

Start reading in `nerf/ray` (the maths of one ray), go on with `nerf/fields.py`, `nerf/models`
(one paper per file) and `nerf/lifting.py` (the only file that says vmap or pmap).
"""


def load(model_dir: str, step: int | None = None):
    """Model, parameters, config and cameras of a trained scene: see `nerf.train.run_folder.load`."""
    from nerf.train.run_folder import load as load_run  # imports TensorFlow: only where it is asked for

    return load_run(model_dir, step)
