"""The built-in scene."""
