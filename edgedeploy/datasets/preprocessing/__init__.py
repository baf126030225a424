"""What is done to samples before the model sees them."""
