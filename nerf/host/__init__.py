"""Interaction with the host: command-line flags, terminal output, processes and files."""
