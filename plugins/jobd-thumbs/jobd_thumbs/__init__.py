"""Make thumbnails of a picture, turned upright, in sRGB, without metadata.

A picture's way: `source` (the file, opened and read under its limits) → `pixels` (resized,
turned, in sRGB, saved), for each size that `handlers` was asked for.
"""
