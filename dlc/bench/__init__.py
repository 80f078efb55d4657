"""The benchmarks: dlc and its peers on the same work, each in a process of its own."""
