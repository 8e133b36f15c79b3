"""From photos to a scene: `python -m nerf.data.capture`."""
