"""What every other room builds on: contexts, arguments, checks of data, moments, files."""
