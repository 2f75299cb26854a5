"""The runner: executes the notebook of a run directory and leaves the directory complete."""
