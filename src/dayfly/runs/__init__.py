"""The domain: what a run is, its files, its states, and the store that holds it."""
