"""Exercise checks, one module a lesson."""
