"""Flows for others to call: SavedModels, LiteRT programs, compiled graphs."""
