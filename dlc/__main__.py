"""`python -m dlc` is the same as the command `dlc`."""

from dlc.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
