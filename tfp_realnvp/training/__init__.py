"""Training with Keras: the model, its data, run directories, callbacks."""
