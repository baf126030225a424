"""How good answers are: metrics against labels, agreement with a reference, samples that got worse, two models side by side."""
