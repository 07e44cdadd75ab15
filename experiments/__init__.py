"""The studies: what is recorded, and how. From a checkout only; the package `zenlib` holds none of it."""

from zenlib.threads import cap_threads

# before a study loads torch: the kernel of a notebook has the environment of whoever started it
cap_threads()
