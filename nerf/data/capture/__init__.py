"""Camera poses of photos or of a video by COLMAP: `python -m nerf.data.capture`."""
