"""Converts ONNX to TFLite with onnx2tf, in a separate environment, and compares the outputs."""
