"""TensorFlow Serving's REST interface, version 1, for SavedModels of flows."""
