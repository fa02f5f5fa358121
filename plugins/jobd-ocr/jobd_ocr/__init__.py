"""Read the text of scanned PDFs and pictures, page by page, no page twice.

A page's way: `source` (the file, opened) → `pdf_pages` or `image_pages` (grey pixels, bounded) →
`tesseract` (the program that reads) → `kept` (for a later attempt); `reading` is the loop.
"""
