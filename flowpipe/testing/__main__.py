"""`python -m flowpipe.testing serve [COMMAND ...]`: PostgreSQL and S3 servers, while a command runs or until Ctrl-C."""

from __future__ import annotations

import sys

from flowpipe.testing.servers import serve

if sys.argv[1:2] != ["serve"]:
    sys.stderr.write("usage: python -m flowpipe.testing serve [COMMAND ...]\n")
    sys.exit(2)
sys.exit(serve(sys.argv[2:]))
