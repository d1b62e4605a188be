"""What the product costs, beside what its users would take in its place.

`python -m benchmarks` runs all of it (`make bench`); each part also runs by itself, as in
`python -m benchmarks.throughput --only product,bare --rounds 3 --json`. Figures of two calls are not comparable:
the machine wanders. Ratios come from the rounds of one call, in which the contenders take turns.
"""
