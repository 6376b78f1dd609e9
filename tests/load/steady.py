"""100 pgbench clients over 5 server connections, simple and extended protocol."""

from __future__ import annotations

from lab import pgbench
from lab.postgres import ServerSampler
from proof import USER, Proof

CLIENTS, POOL = 100, 5


def prove(proof: Proof) -> None:
    pooler = proof.start_pooler(POOL)
    for protocol in ("simple", "extended"):
        before = proof.history()
        with ServerSampler(proof.pg, USER) as servers:
            report = pgbench.run(proof.lab, proof.pg, pooler.port, USER,
                                 ["-c", CLIENTS, "-j", 2, "-M", protocol], proof.seconds)
        proof.say(f"{protocol}: {report.transactions} transactions, {report.tps:.0f}/s,"
                  f" p50 {report.percentile(0.5) / 1000:.1f} ms, p99 {report.percentile(0.99) / 1000:.1f} ms,"
                  f" at most {servers.most} server connections in {servers.samples} looks")
        proof.check(report.ok, f"pgbench -M {protocol}: {report.failed} failed; {report.errors[:3]}")
        proof.check(servers.samples > 5, "pg_stat_activity was hardly looked at")
        proof.check(0 < servers.most <= POOL, f"{servers.most} server connections instead of at most {POOL}")
        proof.check(proof.history() - before == report.transactions,
                    f"{report.transactions} transactions reported, {proof.history() - before} found")
    proof.check_balances()
    proof.check_nothing_open()
