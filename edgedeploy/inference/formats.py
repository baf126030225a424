"""Tells a model's format by its first bytes."""

from __future__ import annotations

from typing import Literal

ModelFormat = Literal["onnx", "tflite"]


_TFLITE_IDENTIFIER = b"TFL3"
"""At offset 4: https://github.com/tensorflow/tensorflow, tensorflow/compiler/mlir/lite/schema/schema.fbs"""


def format_of(beginning: bytes) -> ModelFormat:
    """Of a model, told by its first bytes. What is not TensorFlow Lite is taken for ONNX, which has no mark."""
    return "tflite" if beginning[4:8] == _TFLITE_IDENTIFIER else "onnx"


def runtime_of(format: ModelFormat) -> str:
    """The runtime that runs models of this format, as its package is called."""
    return {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}[format]
