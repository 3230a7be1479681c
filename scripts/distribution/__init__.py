"""The wheel and the source distribution, as they are published: `make wheel`."""

EPOCH = 1767225600
"""2026-01-01: whatever would write down when it was made writes this."""
