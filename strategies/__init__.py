"""Composed strategies, one a file: `build(model, optimizer, ...)` gives an Avalanche strategy. Copy what you need."""
