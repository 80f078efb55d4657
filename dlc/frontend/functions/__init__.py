"""The public functions of tensors, each documented with its shapes, dtypes, errors and an example."""
