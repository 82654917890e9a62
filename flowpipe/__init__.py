"""flowpipe: plain Hamilton functions in, audited tables out."""
