"""`python -m flowpipe.testing serve`: a PostgreSQL and an S3 server to try the profiles `postgres` and `s3` by hand."""

from __future__ import annotations

import sys

from flowpipe.testing.servers import serve

if sys.argv[1:] != ["serve"]:
    sys.stderr.write("usage: python -m flowpipe.testing serve\n")
    sys.exit(2)
serve()
