"""Load CSV and NDJSON files into tables of a SQLite database, every row exactly once.

A file's way: `source` (bytes, line by line) → `csv_rows` or `ndjson_rows` (rows and
rejects) → `target` (one transaction per batch) under `importing`, which `handlers` calls.
"""
