"""Train the models that `scripts/bench tasks` has no package for: in minutes, on two cores.

Each module is run as `python -m tasks.training.NAME DATA.npz OUT.onnx` in the environment that `torch.lock` pins,
without edgedeploy. DATA.npz has what to learn from; what a model is judged on is never in it.
"""
