"""The nouns: what every object is, how it is written, defaulted and validated. Pure, imports nothing of ours."""
