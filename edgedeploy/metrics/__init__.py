"""How good answers are: metrics against labels, agreement with a reference, what got worse, two models compared."""
