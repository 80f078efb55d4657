"""The ops of dlc's IR as operators of ONNX: a writer each."""
