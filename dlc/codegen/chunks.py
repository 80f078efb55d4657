"""What a chunk of work, which a thread takes at a time, should cost.

Costs are in hundredths of a nanosecond.
"""

CHUNK_COST = 1_500_000
