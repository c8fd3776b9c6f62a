"""Putting one worker together. The only package that knows core, handlers and store."""
