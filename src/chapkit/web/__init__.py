"""Mechanics of HTTP that know no feature."""
