"""Converts ONNX to TFLite with onnx2tf, in an environment of its own, and checks the answers."""
