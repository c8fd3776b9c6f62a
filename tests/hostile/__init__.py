"""Attacks on a real worker: what they cost it, and what others notice of them."""
