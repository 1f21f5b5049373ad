"""Trained flows that come with the package: `pretrained`, and a folder with a card for each."""
