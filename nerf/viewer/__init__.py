"""Interactive viewer in a browser, for a trained scene or during training."""
