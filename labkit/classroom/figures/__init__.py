"""Figures: pure functions from data to axes."""
