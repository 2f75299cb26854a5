"""The image that a notebook runs in: its Dockerfile, content key, build and push."""
