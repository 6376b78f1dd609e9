"""A pgweave for each way to log in, and what drivers are told of them."""

from __future__ import annotations

import re
import socket
import threading
import time
from pathlib import Path

from lab.children import Lab, fail, tail
from lab.poolers import find_pgweave

PASSWORDS = {"weaver": "w\u00e9ave it", "hashed": "hash brown", "certified": "never sent", "asker": "may I"}

USERS = "".join(f'"{user}" "{password}"\n' for user, password in PASSWORDS.items() if user != "asker")

RULES = """
hostssl weave certified 127.0.0.1/32 cert
hostssl weave hashed    127.0.0.1/32 md5
hostssl weave weaver    127.0.0.1/32 scram-sha-256
"""


class Relay:
    """Passes bytes on to a server, and remembers the first of each connection."""

    def __init__(self, port: int):
        self.to, self.first = port, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            threading.Thread(target=self.pass_on, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(far, near, False), daemon=True).start()

    def pass_on(self, source: socket.socket, to: socket.socket, is_asking: bool) -> None:
        try:
            while data := source.recv(65536):
                if is_asking:
                    self.first.append(data[0])
                    is_asking = False
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            source.close()
            to.close()


class Ways:
    """`plan` is what a driver reads: certificates and, for each way, where to log in as whom."""

    def __init__(self, lab: Lab, server, certificates):
        self.lab, self.server, self.certificates = lab, server, certificates
        self.children, self.relay = [], None
        self.cert, self.key = certificates.issue("localhost", host=True)
        self.own = certificates.issue("certified")
        self.plan = {"server": server.name, "ca": str(certificates.ca), "database": "weave", "ways": self.ways()}

    def ways(self) -> list:
        users = self.lab.dir / "userlist.txt"
        users.write_text(USERS)
        rules = self.lab.dir / "hba.conf"
        rules.write_text(RULES)
        listed = f'auth_file = "{users}"\n'
        asks = 'auth_user = "asker"\n'
        asker = f'[users.asker]\npassword = "{PASSWORDS["asker"]}"\n'
        ways = [
            self.way("scram-sha-256", 'auth_type = "scram-sha-256"\n' + listed, scram=True),
            self.way("scram passed through", 'auth_type = "scram-sha-256"\n' + asks, asker, scram=True),
            self.way("md5", 'auth_type = "md5"\n' + listed),
            self.way("md5 hash asked for", 'auth_type = "md5"\n' + asks, asker, user="hashed"),
            self.way("plain", 'auth_type = "plain"\n' + listed),
            self.way("cert", 'auth_type = "cert"\n' + listed, user="certified", wrong="28000"),
            self.way("hba: scram", f'auth_type = "hba"\nauth_hba_file = "{rules}"\n' + listed, scram=True),
            self.way("passthrough", 'auth_type = "passthrough"\n'),
            self.way("trust", 'auth_type = "trust"\n' + listed, wrong=None),
        ]
        hba = ways[6]
        ways += [{**hba, "name": "hba: md5", "user": "hashed", "password": PASSWORDS["hashed"], "scram": False},
                 {**hba, "name": "hba: cert", **self.as_certified(), "scram": False, "wrong": "28000"}]
        if self.server.major >= 17:
            direct = 'auth_type = "scram-sha-256"\nserver_tls_negotiation = "direct"\n' + listed
            self.relay = Relay(self.server.port)
            ways.append(self.way("directly in TLS to the server", direct, scram=True, server_port=self.relay.port))
        return ways

    def as_certified(self) -> dict:
        cert, key = self.own
        return {"user": "certified", "password": "", "cert": str(cert), "key": str(key)}

    def way(self, name: str, settings: str, sections: str = "", user: str = "weaver", wrong: str | None = "28P01",
            scram: bool = False, server_port: int | None = None) -> dict:
        """`wrong`: the SQLSTATE for a wrong password or no certificate; None where there is no wrong one."""
        tag = re.sub("[^a-z0-9]+", "-", name)
        config = self.lab.dir / f"{tag}-{self.server.port}.toml"
        config.write_text(f"""[pgweave]
listen_addr = "127.0.0.1"
listen_port = 0
default_pool_size = 2
client_tls_sslmode = "require"
client_tls_cert_file = "{self.cert}"
client_tls_key_file = "{self.key}"
client_tls_ca_file = "{self.certificates.ca}"
server_tls_sslmode = "verify-full"
server_tls_ca_file = "{self.certificates.ca}"
log_level = "debug"
{settings}
[databases."*"]
host = "localhost"
port = {server_port or self.server.port}
{sections}""")
        way = {"name": name, "port": self.start(config), "user": user, "password": PASSWORDS[user], "wrong": wrong,
               "scram": scram}
        return {**way, **self.as_certified()} if user == "certified" else way

    def start(self, config: Path) -> int:
        binary = find_pgweave(("debug", "release"))
        if binary is None:
            fail("no pgweave binary: build one, or name it in PGWEAVE_BIN")
        log = config.with_suffix(".log")
        child = self.lab.start([binary, config], log)
        self.children.append((child, log))
        for _ in range(100):
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", log.read_text() if log.exists() else "")
            if found:
                return int(found.group(1))
            if child.poll() is not None:
                break
            time.sleep(0.05)
        fail(f"pgweave did not start:\n{tail(log)}")

    def check(self) -> None:
        """No pgweave has panicked, every server connection was in TLS, and no log holds a password."""
        # A handshake record; the first byte of an SSLRequest is 0.
        if self.relay and (not self.relay.first or set(self.relay.first) != {0x16}):
            fail(f"connections to the server did not begin with TLS: {self.relay.first}")
        for child, log in self.children:
            text = log.read_text()
            if child.poll() is not None or "panicked" in text:
                fail(f"pgweave ended or panicked:\n{tail(log)}")
            if "tls=false" in text:
                fail(f"a server connection was not in TLS:\n{tail(log)}")
            for password in PASSWORDS.values():
                if password in text:
                    fail(f"a password stands in {log}")

    def stop(self) -> None:
        if self.relay:
            self.relay.listener.close()
        for child, _log in self.children:
            self.lab.stop(child, wait=10)
