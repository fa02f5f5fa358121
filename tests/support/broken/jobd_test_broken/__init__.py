"""Handlers that cannot be loaded, each for another reason."""
