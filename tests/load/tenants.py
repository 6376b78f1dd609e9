"""50 clients of 50 tenants over 5 server connections, told apart by a setting: nobody sees another's rows."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

from lab.wire import Client, ConnectionLost, ServerError
from proof import USER, Proof

TENANTS, POOL = 50, 5
# Enough to meet every pair of tenants on every server connection many times.
QUERIES = 100_000

TABLE = [
    "create table docs (tenant text not null, body text)",
    f"insert into docs select t::text, repeat('x', 20) from generate_series(1, {TENANTS}) t, generate_series(1, 5)",
    "alter table docs enable row level security",
    "create policy own on docs using (tenant = current_setting('app.tenant', true))",
    f"grant select on docs to {USER}",
]
LOOK = "select tenant, count(*) from docs group by tenant"


class Tenant:
    """One client: sets its tenant now and then, in every way there is, and looks what it sees."""

    def __init__(self, proof: Proof, number: int, end: float, share: int):
        self.proof, self.end, self.share = proof, end, share
        self.dice = random.Random(number)
        self.seen = self.switched = self.vanished = 0
        self.wrong: list = []
        self.client, self.tenant = None, ""
        self.come(str(number))

    def come(self, tenant: str) -> None:
        self.client, self.tenant = self.proof.client(), tenant
        self.client.query(f"select set_config('app.tenant', '{tenant}', false)")

    def look(self) -> None:
        ask = self.client.query if self.dice.random() < 0.5 else self.client.extended
        rows = ask(LOOK)
        self.seen += 1
        if rows != [[self.tenant, "5"]]:
            self.wrong.append((self.tenant, rows))

    def refused(self, sql: str) -> None:
        try:
            self.client.query(sql)
        except ServerError:
            return
        self.wrong.append((sql, "was not refused"))

    def switch(self) -> None:
        """To another tenant, or not, since it is taken back."""
        self.switched += 1
        other = str(self.dice.randint(1, TENANTS))
        way = self.dice.randrange(6)
        if way == 0:
            self.client.query(f"set app.tenant = '{other}'")
            self.tenant = other
        elif way == 1:
            self.client.query(f"begin; select set_config('app.tenant', '{other}', false); commit")
            self.tenant = other
        elif way == 2:
            self.client.query(f"begin; set app.tenant = '{other}'; rollback")
        elif way == 3:
            self.refused(f"set app.tenant = '{other}'; select 1/0")
        elif way == 4:
            self.refused("set work_mem = 'banana'")
        else:
            self.client.query(f"begin; set local app.tenant = '{other}'; commit")

    def vanish(self) -> None:
        """In the middle of what would make it another tenant."""
        self.vanished += 1
        other = str(self.dice.randint(1, TENANTS))
        self.client.query("begin")
        self.client.query(f"select set_config('app.tenant', '{other}', false)")
        self.client.drop(reset=self.dice.random() < 0.5)
        self.come(str(self.dice.randint(1, TENANTS)))

    def run(self) -> "Tenant":
        while self.seen < self.share and time.monotonic() < self.end:
            chance = self.dice.random()
            if chance < 0.002:
                self.vanish()
            elif chance < 0.05:
                self.switch()
            self.look()
        self.client.close()
        return self


def prove(proof: Proof) -> None:
    with proof.pg.connect() as control:
        for sql in TABLE:
            control.query(sql)
    proof.start_pooler(POOL)
    end = time.monotonic() + proof.seconds * 3
    with ThreadPoolExecutor(TENANTS) as threads:
        numbers = range(1, TENANTS + 1)
        tenants = [Tenant(proof, number, end, QUERIES // TENANTS) for number in numbers]
        try:
            done = list(threads.map(Tenant.run, tenants))
        except (ServerError, ConnectionLost) as cause:
            proof.check(False, str(cause))
    seen, wrong = sum(one.seen for one in done), [bad for one in done for bad in one.wrong]
    proof.say(f"{seen} queries of {TENANTS} tenants, {sum(one.switched for one in done)} switches,"
              f" {sum(one.vanished for one in done)} vanished; {len(wrong)} saw what was not theirs")
    proof.check(not wrong, f"wrong: {wrong[:3]}")
    proof.check(seen > 1000, "too few queries to judge")
    proof.check_nothing_open()
    with proof.pg.connect() as control:
        control.query("drop table docs")
