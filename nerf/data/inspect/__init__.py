"""Look at a scene before it is trained: `python -m nerf.data.inspect`."""
