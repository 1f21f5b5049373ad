"""Instruments that time this package beside others; see `docs/performance.md`."""
