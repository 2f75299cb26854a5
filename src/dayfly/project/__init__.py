"""A project: its `dayfly.toml`, and the settings that hold for a command."""
