"""Make a PDF of the rows of a query or a CSV file.

A report's way: `query` or `csv_rows` (the rows) → `table` (bounds, numbers, totals) →
`template` (HTML, in a sandbox) → `layout` (WeasyPrint; `fetcher` refuses what it must not load).
"""
