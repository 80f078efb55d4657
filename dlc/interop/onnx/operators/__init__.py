"""The operators of ONNX: a row each, written in dlc's public functions."""
