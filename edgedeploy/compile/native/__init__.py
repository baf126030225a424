"""ONNX models compiled ahead of time: ONNX → C → one static program. The entry point is `program.write_program`.

`prepare` makes every shape static and folds what is constant, `fuse` joins operators, `emit` writes C that calls the
kernels in `kernels/`; an operator that has no kernel here is written by `emx-onnx-cgen`, one at a time.
"""
