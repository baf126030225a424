"""ONNX models compiled ahead of time: ONNX → C → one static program.

`prepare` makes every shape static and folds what is constant, `quantize` and `fuse` join operators, `program` writes
the C of the whole. `operators` says which module writes which operator: `convolutions`, `matrices`, `integers`,
`recurrent`, `reductions`, `elementwise`, `resize`, `pad`, `moves` and `views` call the kernels in `kernels/`; one that
has no kernel here is written by `emx-onnx-cgen` (`generic`). They write with an `Emitter` (`emit`); `layout` says where
values lie, `loops` how their elements are reached.
"""
