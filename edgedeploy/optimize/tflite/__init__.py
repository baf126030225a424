"""Optimize TensorFlow Lite models with ai-edge-quantizer."""
