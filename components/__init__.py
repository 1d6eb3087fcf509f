"""Building blocks of the nextstack program: one file per concept."""
