"""How fast, and in how much memory: our kernels beside the libraries that users would pick instead."""
