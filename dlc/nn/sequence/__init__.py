"""Layers of sequences: recurrent networks, attention, transformers, positions."""
