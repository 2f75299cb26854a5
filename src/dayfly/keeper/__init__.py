"""The keeper: carries a run directory to its store, and keeps the run's status there."""
