"""The client, write batches, schemas, and the relay of outgoing events."""
