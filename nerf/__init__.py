"""Neural radiance fields in JAX and Flax, written for one ray and lifted.

The core, in reading order:

    ray/structs            what a ray, a level and a rendering are
    ray/cameras            from a pixel to its ray
    ray/spacing            how positions spread along it
    ray/histogram          weights as a histogram
    ray/sampling           importance sampling from it
    ray/gaussians          segments of a cone
    ray/encodings          what an MLP sees of a point
    ray/compositing        the volume rendering equation
    ray/losses             what is minimised
    fields/nerf            one sample to density and colour
    models/nerf            one ray to its levels; then models/mipnerf, mipnerf360 and instant beside it
    lifting                from one ray to many, and to many devices
    flat                   products that stay flat when lifted
    train/step             the loss of one pixel, and one update
    train/optimizer        learning rate and Adam
    render/image           a whole image

Everything else is the workshop around it.
"""


def load(model_dir: str, step: int | None = None):
    """Load model, parameters, config and cameras of a trained scene: see `nerf.train.run_folder.load`."""
    from nerf.train.run_folder import load as load_run

    return load_run(model_dir, step)
