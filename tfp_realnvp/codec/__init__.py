"""Lossless compression of images by flows, in arithmetic that is the same everywhere."""

#: Images that are read together, unless told otherwise.
IMAGES_PER_FRAME = 5_000
