"""The public shapes: Structs of the HTTP contract, and how domain objects are rendered as them.

Every documented field of a job is always present; "no value" is null. A client ignores
fields and words that it does not know. Not here: headers and status codes (api/).
"""
