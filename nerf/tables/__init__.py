"""Many runs in one table beside the papers' numbers: `python -m nerf.tables logs/*`."""
