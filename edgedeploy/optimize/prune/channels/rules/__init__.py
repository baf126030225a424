"""How each operator passes channels on, unites them, or keeps them: one module a family of operators."""
