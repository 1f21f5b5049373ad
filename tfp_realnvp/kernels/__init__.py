"""Arithmetic that is fast on the device: convolutions, gates, Adam's update."""
