"""Inspection of a scene before training: `python -m nerf.data.inspect`."""
