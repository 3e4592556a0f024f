"""Builds the book from pages, notebooks and results."""
