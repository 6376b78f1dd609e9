"""The limit on open files, which thousands of clients need raised."""

from __future__ import annotations

import resource


def raise_open_files(wanted: int) -> int:
    """Raises the soft limit as far as the hard one allows; children inherit it. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= ceiling:
        return soft if soft != resource.RLIM_INFINITY else wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
    return ceiling
