"""What tests share: processes, clients, tokens. Nothing here is a test, nothing here asserts."""
