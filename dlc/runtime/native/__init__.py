"""Machine code that is the same for every program: thread pool, program driver, call entry."""
