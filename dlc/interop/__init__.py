"""What brings models in from other programs, and takes them out."""
