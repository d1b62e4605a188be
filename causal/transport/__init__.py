"""How frames travel: `base` says what a transport promises, `grpc` and `memory` keep it.

Nothing is imported here: a process that only speaks one of them loads only that one.
"""
