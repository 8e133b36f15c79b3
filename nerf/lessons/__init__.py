"""What the notebooks need besides the code that they teach: checks of exercises, pictures, short trainings, planted faults."""
