"""The HTTP contract as an OpenAPI 3.1 document: one table of operations, and what is made of it.

A route that the table lacks fails a test, and so does an answer that any test of the API
gets and the table does not have. Bodies come from the Structs of wire/, refusals from the
table of problems. Only routes.py is imported before somebody asks for the document.
"""
