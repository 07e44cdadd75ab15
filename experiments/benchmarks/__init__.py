"""Readers of published tables: architectures with the accuracy that somebody trained them to."""
