"""What users call: tensors, functions, tracing, transforms and `compile`."""
