"""Who is in a project, over all workers."""
