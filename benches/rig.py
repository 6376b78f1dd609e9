"""What stands still while the benchmark runs: PostgreSQL and one pooler for each variant."""

from __future__ import annotations

from lab.children import Lab
from lab.poolers import PgBouncer, PgWeave, Pooler
from lab.postgres import Postgres

USER, POOL, SCALE = "bench", 20, 10

# What a variant's name stands for: how its pooler is made, None for no pooler.
VARIANTS = {
    "direct": None,
    "pgbouncer": lambda lab, pg, tag="": PgBouncer(lab, pg, USER, POOL, tag=tag),
    "pgweave-1": lambda lab, pg, tag="": PgWeave(lab, pg, USER, POOL, workers=1, tag=f"-1{tag}"),
    "pgweave-default": lambda lab, pg, tag="": PgWeave(lab, pg, USER, POOL, tag=f"-default{tag}"),
}

# Every other variant is divided by this one, round by round.
YARDSTICK = "pgbouncer"


class Rig:
    """One PostgreSQL, and each variant's pooler before it; the idle ones cost nothing."""

    def __init__(self, lab: Lab, variants: list):
        self.lab, self.user = lab, USER
        self.pg = Postgres(lab, "bench", [USER], {"max_connections": 700})
        self.pg.pgbench_init(USER, SCALE)
        with self.pg.connect() as control:
            control.query("create unlogged table wide as select g as id, repeat(md5(g::text), 32) as payload"
                          " from generate_series(1, 1000) g")
            control.query("create unlogged table sink (payload text)")
            control.query(f"grant all on wide, sink to {USER}")
            control.query("vacuum analyze")
        self.poolers: dict = {name: VARIANTS[name](lab, self.pg).start() for name in variants if VARIANTS[name]}

    def fresh(self, variant: str) -> Pooler:
        """A pooler that has served nobody yet; the caller stops it."""
        return VARIANTS[variant](self.lab, self.pg, "-fresh").start()

    def port(self, variant: str) -> int:
        return self.poolers[variant].port if variant in self.poolers else self.pg.port

    def pid(self, variant: str) -> int | None:
        return self.poolers[variant].child.pid if variant in self.poolers else None
