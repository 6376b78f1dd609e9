//! The keys about TLS, of `[pgweave]` and of `[databases.NAME]`.

use super::{ANY, Setting, setting};
use crate::config::{Database, General};

pub(super) static CLIENTS: &[Setting<General>] = &[
    setting!(
        client_tls_sslmode,
        ANY,
        "TLS toward clients. `disable`: there is none. `allow` and `prefer`: whoever asks gets it. \
         `require`: a client that does not use it is refused with SQLSTATE 28000. `verify-ca` and \
         `verify-full`: a client must also show a certificate that an authority in \
         `client_tls_ca_file` vouches for. Clients may ask with an SSLRequest or begin with TLS \
         directly, as `sslnegotiation=direct` does."
    ),
    setting!(
        client_tls_key_file,
        ANY,
        "The private key for TLS toward clients, as PEM. An ECDSA key makes handshakes several \
         times cheaper than an RSA key does."
    ),
    setting!(
        client_tls_cert_file,
        ANY,
        "The certificate for that key, as PEM, with the certificates between it and its authority \
         behind it. Files are read again on SIGHUP."
    ),
    setting!(
        client_tls_ca_file,
        ANY,
        "The authorities, as PEM, that vouch for certificates of clients."
    ),
    setting!(client_tls_protocols, ANY,
        "Which versions of TLS clients may use: `secure` and `all` are `tlsv1.2,tlsv1.3`.",
        differs "There `all` has TLS 1.0 and 1.1 too, which pgweave does not speak."),
];

pub(super) static SERVERS: &[Setting<General>] = &[
    setting!(
        server_tls_sslmode,
        ANY,
        "TLS toward servers. `disable`: none. `allow`: only if the server refuses clear text. \
         `prefer`: if the server has it. `require`: always, whoever the server may be. \
         `verify-ca`: and an authority in `server_tls_ca_file` must vouch for the server's \
         certificate. `verify-full`: and it must be for the host that `host` names. Against \
         somebody between pgweave and the server only the last two protect. Unix sockets never \
         use TLS."
    ),
    setting!(server_tls_negotiation, ANY,
        "How TLS begins: after an SSLRequest (`postgres`), or at once (`direct`), which saves a \
         round trip and needs PostgreSQL 17 or later and `server_tls_sslmode` `require` or \
         stricter.",
        differs "It has no such key."),
    setting!(
        server_tls_ca_file,
        ANY,
        "The authorities, as PEM, that vouch for certificates of servers. Unset, `verify-ca` and \
         `verify-full` use those that the system trusts."
    ),
    setting!(
        server_tls_key_file,
        ANY,
        "The private key to prove to servers who pgweave is, as PEM; for servers that ask for a \
         certificate."
    ),
    setting!(
        server_tls_cert_file,
        ANY,
        "The certificate for that key, as PEM."
    ),
    setting!(server_tls_protocols, ANY,
        "Which versions of TLS pgweave speaks to servers: `secure` and `all` are \
         `tlsv1.2,tlsv1.3`.",
        differs "There `all` has TLS 1.0 and 1.1 too, which pgweave does not speak."),
];

pub(super) static DATABASE: &[Setting<Database>] = &[
    setting!(
        server_tls_sslmode,
        ANY,
        "Instead of `server_tls_sslmode` of `[pgweave]`."
    ),
    setting!(
        server_tls_negotiation,
        ANY,
        "Instead of `server_tls_negotiation` of `[pgweave]`."
    ),
    setting!(server_tls_ca_file, ANY,
        "Instead of `server_tls_ca_file` of `[pgweave]`.",
        differs "It has no TLS settings for single databases."),
    setting!(
        server_tls_key_file,
        ANY,
        "Instead of `server_tls_key_file` of `[pgweave]`."
    ),
    setting!(
        server_tls_cert_file,
        ANY,
        "Instead of `server_tls_cert_file` of `[pgweave]`."
    ),
];
