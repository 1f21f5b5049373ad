"""The same flows written for other libraries, to be timed beside ours.

They need no part of this package and run in an interpreter of their own.
"""
