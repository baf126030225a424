"""Reads, edits and builds ONNX graphs: code that passes share."""
