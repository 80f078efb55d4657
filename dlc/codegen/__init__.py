"""From tensor IR to kernels, programs and machine code; one folder a backend."""
