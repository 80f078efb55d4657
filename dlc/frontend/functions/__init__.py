"""The public functions of tensors, each with its shapes, dtypes, errors and an example."""
