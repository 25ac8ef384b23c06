"""Sweeps: many runs as data. A TOML file in this folder is one; `python -m benchmarks sweep NAME` carries it out."""
