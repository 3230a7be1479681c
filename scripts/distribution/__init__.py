"""The wheel and the source distribution, as they are published: `make wheel`."""
