"""Compiled programs in files: `dlc.save` and `dlc.load`; docs/saving.md has the format."""
