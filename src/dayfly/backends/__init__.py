"""Where runs execute, and how a request gets there."""
