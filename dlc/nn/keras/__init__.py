"""Layers by Keras's names, with its arguments, layouts and defaults."""
