"""The version of dlc; part of every cache key."""

__version__ = "0.3.0"
