"""What is learned: one sample in; density and colour out."""
