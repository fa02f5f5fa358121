"""Handlers that do what the tests of the pool need, most of it wrong.

Each says `running` by progress when its fault begins, so that a test need not guess.
"""
