"""The GPU backend: kernels to Triton source, compiled ahead of time to PTX and machine code."""
