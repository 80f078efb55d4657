"""NVIDIA GPUs: their driver, memory, programs and graphs."""
