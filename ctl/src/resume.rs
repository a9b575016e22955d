//! Commands that messages tell the user to type: they work when they are pasted.

use clap::ValueEnum;

use crate::Common;
use crate::output::Format;

/// `ctl` with these words and every option that says where this command looked.
pub fn command(common: &Common, words: &[&str]) -> String {
    let reach = &common.reach;
    let path =
        |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let options = [
        ("--config", path(&common.file.config)),
        // Of no meaning beside a coordinator on the network.
        (
            "--state",
            path(&reach.state).filter(|_| reach.coordinator.is_none()),
        ),
        ("--coordinator", reach.coordinator.clone()),
        ("--token-file", path(&reach.token_file)),
        ("--ca", path(&reach.ca)),
        (
            "--output",
            Some(common.output)
                .filter(|format| *format != Format::Table)
                .and_then(|format| Some(format.to_possible_value()?.get_name().to_owned())),
        ),
    ];
    let options = options
        .into_iter()
        .filter_map(|(flag, value)| Some([flag.to_owned(), value?]))
        .flatten();
    let words = words.iter().map(|word| (*word).to_owned());
    let words: Vec<String> = std::iter::once("ctl".to_owned())
        .chain(words)
        .chain(options)
        .map(|word| quoted(&word))
        .collect();
    words.join(" ")
}

/// The word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::Parser;

    use super::*;
    use crate::Cli;

    #[test]
    fn a_shell_reads_what_was_meant() {
        let cli = Cli::parse_from([
            "ctl",
            "get",
            "jobs",
            "--config",
            "a b.yaml",
            "--coordinator",
            "http://x:1",
            "--state",
            "elsewhere",
            "-o",
            "json",
        ]);
        let words = [
            "run",
            "it's.yaml",
            "--set",
            "seed={grid: [1, 2]}",
            "--key",
            "ü$(x)`",
        ];
        let line = command(&cli.common, &words);
        let output = Command::new("sh")
            .args(["-c", &format!("ctl() {{ printf '%s\\n' \"$@\"; }}; {line}")])
            .output()
            .unwrap();
        let read = String::from_utf8(output.stdout).unwrap();
        let expected = words.into_iter().chain([
            "--config",
            "a b.yaml",
            "--coordinator",
            "http://x:1",
            "--output",
            "json",
        ]);
        assert_eq!(
            read.lines().collect::<Vec<_>>(),
            expected.collect::<Vec<_>>()
        );
    }
}
