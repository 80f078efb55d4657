"""CPU code: kernels as LLVM text, compiled to position-independent machine code."""
