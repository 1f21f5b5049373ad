"""Pictures of images and figures of results."""
