"""Transcode videos and take pictures from them with ffmpeg.

A video's way: `source` (the file, opened) → `probe` (what it is, within bounds) → `commands` (what
ffmpeg is told) → `ffmpeg` (runs it; `progress` reads what it says), for each of `handlers`.
"""
