//! One question on a connection that nobody else uses.

use std::time::Duration;

use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Server;
use super::login::{Failed, message};
use crate::wire::{PgError, backend, frontend, sqlstate};

/// Rows beyond these are not kept: who asks wants to know whether there are more.
const MAX_ROWS: usize = 2;

/// A row in text format; NULL is none. Wiped when dropped: it may hold a secret.
pub type Row = Vec<Option<Zeroizing<Vec<u8>>>>;

impl Server {
    /// Runs a query with one parameter and returns its first two rows, in text
    /// format (`protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY`).
    ///
    /// For connections that no client ever gets: the tracker does not hear of it.
    ///
    /// # Errors
    /// The server's own; 08006 when the connection breaks or it takes too long.
    /// Except after an error of the server's, the connection is then to be closed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is to be closed.
    pub async fn look_up(
        &mut self,
        sql: &str,
        parameter: &str,
        within: Duration,
    ) -> Result<Vec<Row>, PgError> {
        match timeout(within, self.look_up_now(sql, parameter)).await {
            Ok(Ok(Ok(rows))) => Ok(rows),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(Failed::Refused(error) | Failed::Broken(error))) => {
                self.mid_frame = true;
                Err(error)
            }
            Err(_) => {
                self.mid_frame = true;
                Err(PgError::fatal(
                    sqlstate::CONNECTION_FAILURE,
                    "the server took too long to answer",
                ))
            }
        }
    }

    /// Is it of no use any more?
    #[must_use]
    pub fn is_spent(&mut self) -> bool {
        self.mid_frame || !self.absorb()
    }

    async fn look_up_now(
        &mut self,
        sql: &str,
        parameter: &str,
    ) -> Result<Result<Vec<Row>, PgError>, Failed> {
        let sent = self.stream.send(&question(sql, parameter)).await;
        sent.map_err(|error| {
            PgError::fatal(
                sqlstate::CONNECTION_FAILURE,
                format!("the connection to PostgreSQL broke: {error}"),
            )
        })?;
        let (mut rows, mut refused) = (Vec::new(), None);
        loop {
            match message(&mut self.stream).await {
                Ok((b'D', body)) if rows.len() < MAX_ROWS => {
                    let body = Zeroizing::new(body);
                    let columns = backend::columns(&body);
                    rows.push(
                        columns
                            .map(|column| column.map(|value| Zeroizing::new(value.to_vec())))
                            .collect(),
                    );
                }
                Ok((b'Z', _)) => return Ok(refused.map_or(Ok(rows), Err)),
                Ok(_) => {}
                // One that ends the session says so, and then the connection ends.
                Err(Failed::Refused(error)) => refused = Some(error),
                Err(Failed::Broken(error)) => {
                    return Err(Failed::Broken(refused.unwrap_or(error)));
                }
            }
        }
    }
}

/// Parse, Bind, Execute and Sync; the server infers the parameter's type.
fn question(sql: &str, parameter: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frontend::frame_into(&mut out, b'P', &[b"\0", sql.as_bytes(), b"\0", &[0, 0]]);
    let length = u32::try_from(parameter.len()).unwrap_or(u32::MAX);
    let (one, value) = ([0, 1], parameter.as_bytes());
    let parts: [&[u8]; 6] = [
        b"\0\0",
        &[0, 0],
        &one,
        &length.to_be_bytes(),
        value,
        &[0, 0],
    ];
    frontend::frame_into(&mut out, b'B', &parts);
    frontend::frame_into(&mut out, b'E', &[b"\0", &[0; 4]]);
    frontend::frame_into(&mut out, b'S', &[]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_four_frames() {
        let expected = [
            b"P\0\0\0\x11\0SELECT $1\0\0\0" as &[u8],
            b"B\0\0\0\x11\0\0\0\0\0\x01\0\0\0\x01a\0\0",
            b"E\0\0\0\x09\0\0\0\0\0",
            b"S\0\0\0\x04",
        ];
        assert_eq!(question("SELECT $1", "a"), expected.concat());
    }
}
