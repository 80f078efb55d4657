"""The command line: `dlc` or `python -m dlc`."""
