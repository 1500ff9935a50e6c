"""The benchmark: chapkit against the same service written by hand."""
