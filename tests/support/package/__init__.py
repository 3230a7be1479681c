"""The installed package under test: with an embedded broker, in a process of its own, beside the original."""
