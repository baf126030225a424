"""What a model will see of a dataset, and what is typical for mistakes."""
