"""Populations of architectures to draw from."""
