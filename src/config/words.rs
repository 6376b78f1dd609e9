//! The settings whose value is one of a few words.

/// An enum whose variants are written as fixed words in the configuration.
pub trait Word: Copy + Sized + 'static {
    /// Every variant, in the order in which the documentation lists them.
    const ALL: &'static [Self];

    /// The word as it is written in the configuration.
    fn as_str(self) -> &'static str;
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// When a server connection goes back to its pool.
    PoolMode {
        /// When the client leaves.
        Session = "session",
        /// When a transaction ends.
        Transaction = "transaction",
        /// After every statement; transactions over several statements are refused.
        Statement = "statement",
    }
}

words! {
    /// What becomes of the state that a client makes in its session.
    SessionState {
        /// It goes with the client, or keeps it on its server connection.
        Keep = "keep",
        /// It ends with the transaction.
        Reset = "reset",
        /// What would make it is refused.
        Error = "error",
        /// Nobody looks: it stays on the server connection, for whoever is next.
        Pgbouncer = "pgbouncer",
    }
}

words! {
    /// After which transactions the server is asked what has become of the session.
    Verify {
        /// After those that can have changed it.
        Flagged = "flagged",
        /// After all, at a high cost: for tests.
        All = "all",
    }
}

words! {
    /// Where a client listens to notifications between its transactions.
    Listen {
        /// On one server connection that all listening clients share.
        Multiplex = "multiplex",
        /// On its own server connection, which it keeps for that.
        Pin = "pin",
    }
}

words! {
    /// Which idle server connection is used next.
    AssignPolicy {
        /// The one used last, so that those not needed grow old and are closed.
        Lifo = "lifo",
        /// The one that has rested longest, so that all share the load alike.
        Fifo = "fifo",
        /// Rather not the one that the client had last: for tests.
        Adversarial = "adversarial",
    }
}

words! {
    /// Whether a connection is encrypted, by the names of
    /// `libpq-connect.html#LIBPQ-CONNECT-SSLMODE`.
    SslMode {
        /// Never.
        Disable = "disable",
        /// If the other side insists.
        Allow = "allow",
        /// If the other side can.
        Prefer = "prefer",
        /// Always.
        Require = "require",
        /// And an authority must vouch for the other side's certificate.
        VerifyCa = "verify-ca",
        /// And it must be for the name that was dialled.
        VerifyFull = "verify-full",
    }
}

words! {
    /// How TLS toward a server begins.
    TlsNegotiation {
        /// After an SSLRequest in clear text.
        Postgres = "postgres",
        /// At once (`libpq-connect.html#LIBPQ-CONNECT-SSLNEGOTIATION`).
        Direct = "direct",
    }
}

words! {
    /// When a server connection gets the `application_name` of the client that it
    /// serves.
    ApplicationNamePolicy {
        /// Whenever it has another.
        Exact = "exact",
        /// Together with other settings.
        Lazy = "lazy",
        /// When the client speaks of it.
        Off = "off",
    }
}

words! {
    /// Whether those who may send a header of the PROXY protocol do.
    ProxyProtocol {
        /// It is not looked for.
        Off = "off",
        /// They may.
        Optional = "optional",
        /// They must.
        Require = "require",
    }
}

words! {
    /// Which header of the PROXY protocol servers are sent.
    ServerProxyProtocol {
        /// None.
        Off = "off",
        /// A line.
        V1 = "v1",
        /// The binary one.
        V2 = "v2",
    }
}

words! {
    /// How a client proves who it is.
    AuthType {
        /// It need not: the name it gives is believed.
        Trust = "trust",
        /// It need not, and its name does not matter: databases name their users.
        Any = "any",
        /// By its password in clear text.
        Plain = "plain",
        /// By an MD5 hash over its password and a salt.
        Md5 = "md5",
        /// By SCRAM-SHA-256 (`sasl-authentication.html#SASL-SCRAM-SHA-256`).
        ScramSha256 = "scram-sha-256",
        /// By its TLS certificate (`auth-cert.html`).
        Cert = "cert",
        /// By the system's user behind the Unix socket (`auth-peer.html`).
        Peer = "peer",
        /// By a token of an issuer that is trusted (`auth-oauth.html`).
        Oauth = "oauth",
        /// By a password that an LDAP server is asked about (`auth-ldap.html`).
        Ldap = "ldap",
        /// By a password that PAM is asked about (`auth-pam.html`).
        Pam = "pam",
        /// As a file of rules says (`auth-pg-hba-conf.html`).
        Hba = "hba",
        /// By what the server itself takes for a proof.
        Passthrough = "passthrough",
    }
}

words! {
    /// Which of several hosts is connected to.
    LoadBalance {
        /// They take turns.
        RoundRobin = "round-robin",
        /// The first that can be reached, for as long as it can.
        Disable = "disable",
    }
}

words! {
    /// The least severe log line that is still written.
    LogLevel {
        /// Failures only.
        Error = "error",
        /// And what looks wrong.
        Warn = "warn",
        /// And what happens in the normal course.
        Info = "info",
        /// And what helps to find a fault.
        Debug = "debug",
    }
}

words! {
    /// The shape of a log line.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// What kind of process the system's log takes pgweave for.
    SyslogFacility {
        /// Logins.
        Auth = "auth",
        /// Logins, for few eyes.
        Authpriv = "authpriv",
        /// A service.
        Daemon = "daemon",
        /// A user's program.
        User = "user",
        /// As its operator likes.
        Local0 = "local0",
        /// See there.
        Local1 = "local1",
        /// See there.
        Local2 = "local2",
        /// See there.
        Local3 = "local3",
        /// See there.
        Local4 = "local4",
        /// See there.
        Local5 = "local5",
        /// See there.
        Local6 = "local6",
        /// See there.
        Local7 = "local7",
    }
}
