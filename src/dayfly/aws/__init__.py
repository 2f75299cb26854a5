"""The cloud half: one client for AWS, frozen plans, and what carries them out."""
