"""The exercises of the notebooks, one file per notebook: the truth, where it comes from, and typical wrong answers."""
