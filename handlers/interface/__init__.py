"""OpenAPI, and the documents that describe the interface."""
