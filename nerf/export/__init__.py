"""Export of a trained scene to other programs: meshes, point clouds and depth maps."""
