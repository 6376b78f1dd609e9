//! What is printed from the definition of the command line: completions for
//! shells, the manual page.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::cli::Cli;

/// What stands in the page behind what the definition says.
const MORE: [(&str, &str); 4] = [
    (
        "FILES",
        "./pgweave.toml and /etc/pgweave/pgweave.toml are read in this order when no file is named. \
         A file whose name ends in .ini is read as PgBouncer's.",
    ),
    (
        "ENVIRONMENT",
        "Without a file DATABASE_URL, or PGHOST, PGPORT, PGDATABASE, PGUSER and PGPASSWORD, name the \
         server. PGWEAVE_ and the name of a setting in capitals, as PGWEAVE_LISTEN_PORT, go before what \
         a file says in [pgweave].",
    ),
    (
        "SIGNALS",
        "SIGTERM and SIGINT let transactions end first. SIGHUP has the configuration read again.",
    ),
    (
        "EXIT STATUS",
        "0 after an orderly end; 1 when the configuration is wrong, a database that check --connect has \
         tried cannot be used, or the start has failed; 2 for wrong usage.",
    ),
];

/// Prints what completes the command line in this shell.
pub(super) fn completions(shell: Shell) -> Result<(), String> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pgweave", &mut text);
    print(&text)
}

/// Prints the manual page.
pub(super) fn manual() -> Result<(), String> {
    print(&page().map_err(|error| format!("pgweave: {error}"))?)
}

fn page() -> io::Result<Vec<u8>> {
    let command = Cli::command();
    let mut text = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    commands(&command).to_writer(&mut text)?;
    let mut roff = Roff::new();
    for (title, body) in MORE {
        roff.control("SH", [title]).text([roman(body)]);
    }
    roff.to_writer(&mut text)?;
    Ok(text)
}

/// All in one page: there are few, with few options.
fn commands(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let mut name = sub.get_name().to_owned();
        let mut told = sub.get_about().map(ToString::to_string).unwrap_or_default();
        for argument in sub
            .get_arguments()
            .filter(|argument| !argument.is_global_set())
        {
            let about = argument
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            match argument.get_long() {
                Some("help") => continue,
                Some(long) => name.push_str(&format!(" [--{long}]")),
                None => name.push_str(&format!(" {argument}")),
            }
            let id = argument.get_long().map_or_else(
                || argument.get_id().as_str().to_uppercase(),
                |long| format!("--{long}"),
            );
            told.push_str(&format!(". {id}: {about}"));
        }
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(told + ".")]);
    }
    roff
}

/// A pipe that nobody reads any more is no failure.
fn print(text: &[u8]) -> Result<(), String> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(format!("pgweave: {error}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_page_has_its_sections_and_all_commands() {
        let text = String::from_utf8(page().unwrap()).unwrap();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "COMMANDS",
            "ENVIRONMENT",
            "\"EXIT STATUS\"",
        ] {
            assert!(
                text.contains(&format!(".SH {section}\n")),
                "{section}: {text}"
            );
        }
        for command in ["check", "convert", "completions", "man"] {
            assert!(
                text.contains(&format!("\\fB{command}")),
                "{command}: {text}"
            );
        }
        assert!(!text.contains("in\\-background") && !text.contains("in_background"));
    }
}
