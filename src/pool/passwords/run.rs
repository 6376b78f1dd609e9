//! One run of a command that prints a password.

use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::Order;
use crate::auth::Secret;

/// Longest output that is read, in bytes: tokens have some thousand.
const MAX_OUTPUT: usize = 64 * 1024;

/// Longest complaint that goes to the log, in bytes.
const MAX_COMPLAINT: usize = 2048;

/// What stands in the log where a complaint holds the password.
const HIDDEN: &str = "(password)";

/// The first line that the command prints; else what is wrong, as the end of a
/// sentence that begins with its name.
///
/// # Cancel safety
/// Dropped before its end, the command is killed with all that it has started.
pub(super) async fn run(order: &Order) -> Result<Secret, String> {
    let mut group = Group::start(order).map_err(|error| format!("cannot be run: {error}"))?;
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let (output, complaint) = tokio::join!(output_of(stdout), complaint_of(stderr));
    if output.len() > MAX_OUTPUT {
        return Err("prints too much".to_owned());
    }
    let status = group
        .child
        .wait()
        .await
        .map_err(|error| format!("was lost: {error}"))?;
    group.is_over = true;
    let line = first_line(&output);
    if !status.success() {
        let complaint = without(line, &complaint);
        tracing::warn!(user = order.user, "password_command says: {complaint}");
        return Err(format!("failed ({status})"));
    }
    match line.is_empty() || line.contains(&0) {
        true => Err("prints no password".to_owned()),
        false => Ok(Secret::new(line)),
    }
}

/// The command and what it has started: a shell does not take its children
/// with it when it is killed.
struct Group {
    child: Child,
    /// Its number may be another's by now.
    is_over: bool,
}

impl Group {
    fn start(order: &Order) -> std::io::Result<Self> {
        let (program, arguments) = order.command.split_first().ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is an empty list")
        })?;
        let child = Command::new(program)
            .args(arguments)
            .env("PGWEAVE_HOST", &order.host)
            .env("PGWEAVE_PORT", order.port.to_string())
            .env("PGWEAVE_DATABASE", &order.database)
            .env("PGWEAVE_USER", &order.user)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let is_over = false;
        Ok(Self { child, is_over })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let number = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(number) = number.filter(|_| !self.is_over) {
            let _ = killpg(Pid::from_raw(number), Signal::SIGKILL);
        }
    }
}

/// What it prints, one byte beyond the limit at most.
async fn output_of(pipe: Option<impl AsyncRead + Unpin>) -> Zeroizing<Vec<u8>> {
    // Room enough from the start: what is copied to a larger place is not wiped.
    let mut output = Zeroizing::new(Vec::with_capacity(2 * MAX_OUTPUT));
    if let Some(pipe) = pipe {
        let most = MAX_OUTPUT as u64 + 1;
        let _ = pipe.take(most).read_to_end(&mut output).await;
    }
    output
}

/// What it complains of. It may hold the password, which is found even where the
/// limit would cut it. What is beyond is read and forgotten: a program that
/// cannot complain fails.
async fn complaint_of(pipe: Option<impl AsyncRead + Unpin>) -> Zeroizing<Vec<u8>> {
    let mut complaint = Zeroizing::new(Vec::new());
    if let Some(mut pipe) = pipe {
        let most = (MAX_COMPLAINT + MAX_OUTPUT) as u64;
        let start = (&mut pipe).take(most).read_to_end(&mut complaint).await;
        if start.is_ok() {
            let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
        }
    }
    complaint
}

fn first_line(output: &[u8]) -> &[u8] {
    let line = output.split(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A complaint as it may be logged.
fn without(password: &[u8], complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let hidden = match str::from_utf8(password) {
        Ok("") => text.into_owned(),
        Ok(password) => text.replace(password, HIDDEN),
        // It cannot be found in what was made text.
        Err(_) => HIDDEN.to_owned(),
    };
    let start: String = hidden.trim().chars().take(MAX_COMPLAINT).collect();
    start.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use tokio::time::timeout;

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
    async fn who_complains_at_length_still_comes_to_an_end() {
        let script = "head -c 300000 /dev/zero >&2 || exit 9; echo secret";
        assert!(run(&order(script)).await.unwrap().is(b"secret"));
    }

    #[tokio::test]
    async fn what_a_command_has_started_ends_with_it() {
        let folder = std::env::temp_dir().join(format!("pgweave-run-{}", std::process::id()));
        let file = folder.display();
        let script = format!("sleep 3600 & echo $! > {file}; wait");
        let child = {
            let hangs = order(&script);
            let mut running = std::pin::pin!(run(&hangs));
            loop {
                let _ = timeout(Duration::from_millis(20), &mut running).await;
                let written = std::fs::read_to_string(&folder).unwrap_or_default();
                if let Some(number) = written.strip_suffix('\n') {
                    break number.to_owned();
                }
            }
        };
        std::fs::remove_file(&folder).unwrap();
        let lives = || {
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z")
        };
        timeout(Duration::from_secs(10), async {
            while lives() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }

    #[test]
    fn a_complaint_does_not_hold_the_password() {
        assert_eq!(without(b"s3cret", b"+ echo s3cret\n"), "+ echo (password)");
        assert_eq!(without(b"", b" not logged in\n"), "not logged in");
        assert!(!without(b"\xff\xfe", b"+ echo \xff\xfe").contains('\u{fffd}'));
        let long = [b"x".repeat(MAX_COMPLAINT - 3), b"s3cret".to_vec()].concat();
        assert!(!without(b"s3cret", &long).contains("s3c"));
        assert_eq!(without(b"y", &b"x".repeat(9000)).len(), MAX_COMPLAINT);
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
