"""How Hypothesis draws in all tests: the same examples in every run, and nothing is judged by the machine's speed.

`--hypothesis-profile=new` draws new ones instead.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("new", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("new"), derandomize=True)
settings.load_profile("same")
