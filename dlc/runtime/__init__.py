"""Running compiled programs: loading code, caching it, threads, memory and calls."""
