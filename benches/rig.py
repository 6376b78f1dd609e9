"""What stands still while the benchmark runs: PostgreSQL and one pooler for each variant."""

from __future__ import annotations

from lab.children import Lab, fail
from lab.poolers import PgBouncer, PgWeave, Pooler
from lab.postgres import Postgres

USER, POOL, SCALE = "bench", 20, 10
# Somebody whom the server asks for a password, by SCRAM.
PROVING, PASSWORD = "bench_scram", "correct horse"
# Whose clients are many and idle.
CROWD = "bench_crowd"

# What a variant's name stands for: how its pooler is made, None for no pooler.
VARIANTS = {
    "direct": None,
    "pgbouncer": lambda lab, pg, user=USER, tag="", **more: PgBouncer(lab, pg, user, POOL, tag=tag, **more),
    "pgweave-1": lambda lab, pg, user=USER, tag="", **more:
        PgWeave(lab, pg, user, POOL, workers=1, tag=f"-1{tag}", **more),
    "pgweave-default": lambda lab, pg, user=USER, tag="", **more:
        PgWeave(lab, pg, user, POOL, tag=f"-default{tag}", **more),
}

# Every other variant is divided by this one, round by round.
YARDSTICK = "pgbouncer"


class Rig:
    """One PostgreSQL, and each variant's pooler before it; the idle ones cost nothing."""

    def __init__(self, lab: Lab, variants: list, tls: bool = False):
        """`tls`: clients come to the poolers in TLS."""
        self.lab, self.user = lab, USER
        self.tls = certificate(lab) if tls else None
        self.env = {"PGSSLMODE": "require"} if tls else {}
        self.pg = Postgres(lab, "bench", [USER, CROWD], {"max_connections": 700})
        self.pg.pgbench_init(USER, SCALE)
        with self.pg.connect() as control:
            control.query("create unlogged table wide as select g as id, repeat(md5(g::text), 32) as payload"
                          " from generate_series(1, 1000) g")
            control.query("create unlogged table sink (payload text)")
            control.query(f"grant all on wide, sink to {USER}")
            control.query("set password_encryption = 'scram-sha-256'")
            control.query(f"create role {PROVING} login password '{PASSWORD}' in role {USER}")
            control.query("vacuum analyze")
        hba = self.pg.data / "pg_hba.conf"
        hba.write_text(f"host all {PROVING} 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
        with self.pg.connect() as control:
            control.query("select pg_reload_conf()")
        self.poolers: dict = {name: VARIANTS[name](lab, self.pg, tls=self.tls).start()
                              for name in variants if VARIANTS[name]}

    def fresh(self, variant: str) -> Pooler:
        """A pooler that has served nobody yet; the caller stops it."""
        return VARIANTS[variant](self.lab, self.pg, tag="-fresh", tls=self.tls).start()

    def proving(self, variant: str) -> Pooler:
        """The same, with SCRAM toward clients and toward the server."""
        return VARIANTS[variant](self.lab, self.pg, user=PROVING, tag="-scram", password=PASSWORD).start()

    def port(self, variant: str) -> int:
        return self.poolers[variant].port if variant in self.poolers else self.pg.port

    def pid(self, variant: str) -> int | None:
        return self.poolers[variant].child.pid if variant in self.poolers else None


def certificate(lab: Lab) -> tuple:
    """One of its own, with the kind of key that makes handshakes cheap: its file, and the key's."""
    cert, key = lab.dir / "bench.crt", lab.dir / "bench.key"
    done = lab.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", 2, "-subj", "/CN=localhost"], 30)
    if done.returncode:
        fail(f"openssl: {done.stderr.strip()}")
    for path in (cert, key):
        lab.give(path)
    return cert, key
