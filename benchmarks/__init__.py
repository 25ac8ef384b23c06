"""The measuring bench: published benchmarks, runs, records, tables and plots. `python -m benchmarks` runs it."""
