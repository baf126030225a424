"""Tables and series: rows of columns to a model's inputs."""
