"""Named places in the code where a process may be struck down: `make faults` kills it at each of them."""

import sys

EVENT = "chapkit.fault"


def reach(point: str) -> None:
    """Say that the code has come to `point`; nothing happens unless an audit hook of the process listens."""
    sys.audit(EVENT, point)
