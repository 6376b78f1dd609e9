"""What the demo, the load proofs and the benchmark share: a throwaway PostgreSQL,
a pooler in front of it, and a small client that speaks the protocol itself.

Standard library only, Python 3.9 or later. Every process started here is ended
here, by its own process id.
"""
