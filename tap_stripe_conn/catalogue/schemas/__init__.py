"""One JSON Schema for each API object, written by `python -m tools.catalogue`."""
