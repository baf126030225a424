"""What reports say, the same in every format."""
