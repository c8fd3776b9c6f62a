"""What an operator's commands work with, beside running workers."""
