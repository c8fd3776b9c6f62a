"""The demo project and its stand-in language model."""
