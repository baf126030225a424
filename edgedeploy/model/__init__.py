"""Opens a model file and reads the facts in it: inputs, outputs, parameters, MACs, bytes, operators."""
