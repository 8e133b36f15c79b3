"""A trained scene for other programs: meshes, clouds of points, maps of depth."""
