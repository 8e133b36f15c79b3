"""Training batches of a scene's pixels, and a cache of scenes."""
