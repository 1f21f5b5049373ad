"""Lossless compression of images by flows, in arithmetic that is the same everywhere."""
