"""flowpipe beside what it is compared with: ratios of medians in the same run, `python -m benchmarks [NAME ...]`."""
