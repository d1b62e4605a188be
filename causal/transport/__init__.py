"""How frames travel: `base` says what a transport promises, `grpc` and `memory` keep it.

No transport is imported here: a process that only speaks one of them loads only that one.
"""

import os

# gRPC writes lines of its own to standard error, for instance that a server it was connected to has stopped. That is
# normal here, and shown in the status. It looks at the variable when it is imported, and never again.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
