"""What every test shares: one Hypothesis profile."""

from hypothesis import settings

# No deadline for a single example: on a busy machine it measures the machine. A whole test is bounded by
# the timeout in pyproject.toml. A failure prints the line that repeats it.
settings.register_profile("dayfly", deadline=None, print_blob=True)
settings.load_profile("dayfly")
