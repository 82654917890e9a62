"""A picture of a project: what a reader sees of its pipelines, and each format that it is drawn in."""
