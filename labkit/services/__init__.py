"""Embedding services over the network; nothing here runs unless one is named."""
