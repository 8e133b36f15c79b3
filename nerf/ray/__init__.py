"""The mathematics of one ray: pure functions of fixed rank, to be lifted by `nerf.lifting`."""
