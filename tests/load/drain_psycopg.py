"""Clients of psycopg that transfer until their input ends, and come back when they are sent away between two
transactions. Tells at the end what was acknowledged, as JSON. To be run by tests/load/drain.py."""

from __future__ import annotations

import json
import random
import sys
import threading
import time

import psycopg

ACCOUNTS = 200


class Worker:
    def __init__(self, dsn: str, number: int):
        self.dsn, self.id, self.dice = dsn, number, random.Random(number)
        self.acknowledged: list = []
        self.in_doubt: list = []
        self.heard: list = []
        self.sent_away = 0
        self.connection: psycopg.Connection | None = None
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def live(self) -> None:
        number = 1
        while not over.is_set():
            if self.connection is None and not self.come_in():
                time.sleep(0.01)
                continue
            self.answers = 0
            try:
                self.transfer(number)
                self.acknowledged.append(number)
                number += 1
            except psycopg.Error as error:
                if error.sqlstate == "57P01" and not self.answers:
                    self.sent_away += 1
                else:
                    self.in_doubt.append(number)
                    self.heard.append(f"{error.sqlstate} {error}, after {self.answers} answers")
                    number += 1
                self.connection.close()
                self.connection = None

    def come_in(self) -> bool:
        try:
            # Half of them speak the simple protocol.
            cursors = psycopg.ClientCursor if self.id % 2 else psycopg.Cursor
            self.connection = psycopg.connect(self.dsn, autocommit=True, cursor_factory=cursors, prepare_threshold=2)
            return True
        except psycopg.Error:
            return False

    def transfer(self, number: int) -> None:
        giver, taker = self.dice.sample(range(1, ACCOUNTS + 1), 2)
        values = (self.id, number, giver, taker, self.dice.randint(1, 1000))
        if self.dice.random() < 0.5:
            return self.ask("select transfer(%s, %s, %s, %s, %s)", values)
        self.ask("begin")
        self.ask("select transfer(%s, %s, %s, %s, %s)", values)
        self.ask("commit")

    def ask(self, sql: str, values: tuple | None = None) -> None:
        self.connection.execute(sql, values)
        self.answers += 1


over = threading.Event()
workers = [Worker(sys.argv[1], int(number)) for number in sys.argv[2:]]
sys.stdin.read()
over.set()
for worker in workers:
    worker.thread.join(20)
told = ("id", "acknowledged", "in_doubt", "heard", "sent_away")
print(json.dumps([{key: getattr(worker, key) for key in told} for worker in workers]))
