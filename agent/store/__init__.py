"""What is on the disk: the ring of sealed clips and the one SQLite database beside it."""
