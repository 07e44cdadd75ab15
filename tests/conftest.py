"""Settings of all tests."""

from hypothesis import settings

# A busy machine is slow now and then: no test is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
