"""A trained scene, or one that is being learned, in a browser."""
