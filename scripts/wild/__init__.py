"""Real models out of packages, with data to calibrate and to judge them."""
