"""What the target was last told of each row."""
