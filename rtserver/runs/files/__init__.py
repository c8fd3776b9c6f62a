"""Reading and atomically writing the files of a proposal."""
