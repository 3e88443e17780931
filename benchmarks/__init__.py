"""Speed, as ratios and counts: `python -m benchmarks`."""
