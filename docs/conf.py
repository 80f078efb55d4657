"""How `make docs` turns the pages into HTML."""

project = "dlc"
extensions = ["myst_parser"]
exclude_patterns = ["generate.py"]
# The pages link to each other, as they are also read in the repository, and need no table.
suppress_warnings = ["toc.not_included"]
myst_heading_anchors = 3
