"""Measurements: `python -m nerf.benchmark --config=configs/mipnerf_small.py` (needs no TensorFlow)."""
