"""From a scene to the batches of a step."""
