"""The words of the domain: ids, identities, events, positions, errors.

Imports nothing of the project.
"""
