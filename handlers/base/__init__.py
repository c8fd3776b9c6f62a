"""What every handler stands on, and all that reaches into Tornado."""
