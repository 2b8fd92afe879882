"""Integer semantics, quantization and the bit-exact NumPy reference; knows nothing of tinydsn or C."""
