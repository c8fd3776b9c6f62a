"""The files that pages load: compressed, and put together where the tool for it is there."""
