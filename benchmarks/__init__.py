"""Speed, and whether it costs truth: `python -m benchmarks`."""
