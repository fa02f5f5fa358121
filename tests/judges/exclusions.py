"""Answers that are right though a schema cannot say so: by operation and code, with the reason."""

REFUSED = {
    ("listJobs", "invalid_page_token"): "only what was given out is a token",
    ("listBatches", "invalid_page_token"): "the same",
    ("listTokens", "invalid_page_token"): "the same",
    ("listEndpoints", "invalid_page_token"): "the same",
    ("listDeliveries", "invalid_page_token"): "the same",
    ("createBatch", "batch_rejected"): "what stands in the lines of NDJSON no schema says",
    ("openWebSocket", "upgrade_required"): "what is asked is no handshake, which none describes",
}
"""Refusals of what fits the schema, by the code of the problem."""

ACCEPTED = {
    "createBatch": "what is wrong with one line is said in the answer, and the others are taken",
}
"""Operations that take a part of what does not fit the schema, and count what they reject."""

UNLISTED = {("GET", "/openapi.json"): "the document does not tell of itself"}
"""Routes that are no operations."""
