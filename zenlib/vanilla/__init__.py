"""Vanilla convolutional networks, and the conversion of anything to them."""
