"""The HTTP API: thin aiohttp handlers between the wire shapes and the engine's commands.

A handler reads headers and body, calls one command or reader, renders the answer. Every
refusal is a problem document. Not here: what a job is allowed to do (engine/, domain/).
"""
