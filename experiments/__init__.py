"""The studies: what is recorded, and how. From a checkout only; the package `zenlib` holds none of it."""
