"""Neural radiance fields in JAX and Flax, written for one ray and lifted.

The core, in reading order:

    ray/structs            the structs of one ray: Ray, Level, Rendering, Pixel
    ray/cameras            from a pixel to its ray, and from a point to its pixel
    ray/spacing            how positions spread along the ray: s and t
    ray/histogram          rendering weights as a histogram: CDF, blur, dilation
    ray/sampling           stratified and importance sampling
    ray/gaussians          segments of a cone as Gaussians
    ray/contraction        all of space in a ball
    ray/encodings          positional encodings, and integrated ones (IPE)
    ray/hashgrid           the multiresolution hash encoding
    ray/compositing        the volume rendering equation
    ray/background         the colour behind a ray
    ray/losses             the loss functions
    ray/photos             numbers that belong to a photo, and the three places where they act
    fields/layers          Dense, and the two parts of NeRF's MLP
    fields/nerf            from one sample to density and colour
    models/protocol        what a model must provide
    models/nerf            from one ray to its levels; then models/mipnerf, mipnerf360 and instant beside it
    models/pixel           from one pixel to its colour: what training and rendering share
    lifting                from one ray to many, and to many devices
    flat                   matrix products that stay flat when lifted
    train/state            all that a run keeps from step to step
    train/step             the loss of one pixel, and one update
    train/optimizer        the learning rate schedule and Adam
    render/maps            colour, depth and normal of one pixel
    render/image           a whole image

Beside each paper's file lie the others': fields/{mipnerf,mipnerf360,hashgrid}, models/{mipnerf,mipnerf360,instant}. Helpers
of cameras and maths are ray/{lenses,ndc,maths}. Everything else reads data, writes files and handles commands.
"""


def load(model_dir: str, step: int | None = None):
    """Load model, parameters, state, photo tables, config and cameras of a run: see `nerf.train.run_folder.load`."""
    from nerf.train.run_folder import load as load_run

    return load_run(model_dir, step)
