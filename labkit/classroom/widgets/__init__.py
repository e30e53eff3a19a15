"""Widgets, each beside the static figure of the same function."""
