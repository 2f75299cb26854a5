"""Run a notebook on a machine that lives exactly as long as the notebook does."""
