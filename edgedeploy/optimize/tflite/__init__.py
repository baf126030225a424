"""The passes of a recipe on TensorFlow Lite models."""
