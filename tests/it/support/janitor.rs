//! Ends what a test process leaves behind when it is killed: a shell that is
//! told of each process started and ended, and waits for the end of its input.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

const SCRIPT: &str = r#"
left=""
while read -r verb process directory; do
    case $verb in
        started) left="$left $process:$directory" ;;
        ended) others=""
               for one in $left; do [ "${one%%:*}" = "$process" ] || others="$others $one"; done
               left=$others ;;
    esac
done
for one in $left; do kill -KILL "${one%%:*}"; rm -rf "${one#*:}"; done
"#;

/// To be called right after the start of `child`, whose files are in `directory`.
pub fn started(child: &Child, directory: &Path) {
    tell(&format!("started {} {}\n", child.id(), directory.display()));
}

/// To be called when `child` has ended.
pub fn ended(child: &Child) {
    tell(&format!("ended {}\n", child.id()));
}

fn tell(line: &str) {
    static SHELL: OnceLock<Mutex<Child>> = OnceLock::new();
    let shell = SHELL.get_or_init(|| {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT]).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(command.process_group(0).spawn().unwrap())
    });
    let mut shell = shell.lock().unwrap();
    let _ = shell.stdin.as_mut().unwrap().write_all(line.as_bytes());
}
