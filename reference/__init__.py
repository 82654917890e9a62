"""Pages of `docs/reference/` that are made from the code; not part of the package that is installed."""
