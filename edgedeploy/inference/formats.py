"""Tells a model's format by its first bytes."""

from __future__ import annotations

from typing import Literal

ModelFormat = Literal["onnx", "tflite"]


_TFLITE_IDENTIFIER = b"TFL3"
"""At offset 4: https://github.com/tensorflow/tensorflow, tensorflow/compiler/mlir/lite/schema/schema.fbs"""


def format_of(beginning: bytes) -> ModelFormat:
    """Return a model's format by its first bytes. What is not TensorFlow Lite is taken for ONNX, which has no mark.

    Args:
        beginning: at least 8 bytes of the serialized model.
    """
    return "tflite" if beginning[4:8] == _TFLITE_IDENTIFIER else "onnx"


def runtime_of(format: ModelFormat) -> str:
    """Return the runtime that runs models of this format, as its package is called."""
    return {"onnx": "onnxruntime", "tflite": "ai-edge-litert"}[format]
