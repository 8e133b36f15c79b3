"""The machine around a run: flags, the terminal, processes, files."""
