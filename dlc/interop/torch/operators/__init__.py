"""The operators of ATen: a row each, written in dlc's public functions."""
