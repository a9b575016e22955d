//! `ctl completions`: the script that a shell reads to complete commands, options, ids and names.

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::{Error, completion, output};

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(clap::Args)]
pub struct Args {
    shell: Shell,
}

pub fn run(args: &Args) -> Result<(), Error> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let program = std::env::current_exe()
        .map_err(|source| Error::cannot_run_because("cannot find the running program", source))?;
    let mut script = Vec::new();
    shell
        .write_registration(
            completion::VARIABLE,
            "ctl",
            "ctl",
            &program.to_string_lossy(),
            &mut script,
        )
        .map_err(|source| Error::cannot_run_because("cannot write the script", source))?;
    output::line(&String::from_utf8_lossy(&script))
}
