//! One run of a command that prints a password.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::Order;
use crate::auth::Secret;

/// Longest output that is read, in bytes: tokens have some thousand.
const MAX_OUTPUT: u64 = 64 * 1024;

/// Longest complaint that goes to the log, in bytes.
const MAX_COMPLAINT: u64 = 2048;

/// The first line that the command prints; else what is wrong, as the end of a
/// sentence that begins with its name.
pub(super) async fn run(order: &Order) -> Result<Secret, String> {
    let (program, arguments) = order.command.split_first().ok_or("is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("PGWEAVE_HOST", &order.host)
        .env("PGWEAVE_PORT", order.port.to_string())
        .env("PGWEAVE_DATABASE", &order.database)
        .env("PGWEAVE_USER", &order.user)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (output, complaint) = tokio::join!(
        start_of(stdout, MAX_OUTPUT),
        start_of(stderr, MAX_COMPLAINT)
    );
    if output.len() as u64 > MAX_OUTPUT {
        return Err("prints too much".to_owned());
    }
    let status = child
        .wait()
        .await
        .map_err(|error| format!("was lost: {error}"))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        tracing::warn!(
            user = order.user,
            "password_command says: {}",
            complaint.trim().escape_debug()
        );
        return Err(format!("failed ({status})"));
    }
    let line = output
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.is_empty() || line.contains(&0) {
        true => Err("prints no password".to_owned()),
        false => Ok(Secret::new(line)),
    }
}

/// What a pipe gives, one byte beyond `most` at most; the rest is read and
/// forgotten, so that the other side comes to its end.
async fn start_of(pipe: Option<impl AsyncRead + Unpin>, most: u64) -> Zeroizing<Vec<u8>> {
    let mut start = Zeroizing::new(Vec::new());
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(most + 1).read_to_end(&mut start).await;
        if start.len() as u64 <= most {
            let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
        }
    }
    start
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn order(script: &str) -> Order {
        Order {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            host: "db".to_owned(),
            port: 5432,
            database: "app".to_owned(),
            user: "alice".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_first_line_is_the_password() {
        let told = run(&order("printf 'a b\\r\\nc\\n'")).await.unwrap();
        assert!(told.is(b"a b"));
        let script = "printf '%s' $PGWEAVE_USER@$PGWEAVE_HOST:$PGWEAVE_PORT/$PGWEAVE_DATABASE";
        let told = run(&order(script)).await.unwrap();
        assert!(told.is(b"alice@db:5432/app"));
    }

    #[tokio::test]
    async fn what_is_no_password_is_told_without_it() {
        for (script, what) in [
            ("printf secret; exit 3", "failed (exit status: 3)"),
            ("true", "prints no password"),
            ("printf '\\nsecret'", "prints no password"),
            ("printf 'a\\000b'", "prints no password"),
            ("head -c 100000 /dev/zero | tr '\\0' s", "prints too much"),
        ] {
            assert_eq!(run(&order(script)).await.unwrap_err(), what, "{script}");
        }
        let mut nothing = order("");
        nothing.command = vec!["/nowhere/at/all".to_owned()];
        assert!(run(&nothing).await.unwrap_err().contains("cannot be run"));
    }
}
