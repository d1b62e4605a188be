"""What a node leaves behind to be judged by: its trace, and the checker that proves or refutes the guarantee.

Nothing here is imported by the ordering engine, and the checker shares no clock, stamp or context with it.
"""
