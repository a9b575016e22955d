//! `ctl token`: tokens of those who may call a coordinator over the network.

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{Common, Error};

#[derive(clap::Subcommand)]
pub enum Args {
    /// Make a token: it is shown once; the coordinator keeps its hash
    New {
        /// Who gets it
        name: String,
        /// What it may call
        #[arg(long, value_enum, default_value_t)]
        role: Role,
    },
}

#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub enum Role {
    #[default]
    User,
    Worker,
}

pub fn run(common: &Common, args: &Args) -> Result<(), Error> {
    let Args::New { name, role } = args;
    if name.is_empty()
        || !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c))
    {
        return Err(Error::Usage(format!(
            "{name:?} cannot name a token: letters, digits and -_.@ can"
        )));
    }
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|source| {
        Error::cannot_run(format!("the system gives no random numbers: {source}"))
    })?;
    let token = format!("ns_{}", hex(&bytes));
    let role = match role {
        Role::User => "user",
        Role::Worker => "worker",
    };
    let entry = json!({"name": name, "role": role, "sha256": hex(&Sha256::digest(&token))});
    common.output.print(&json!({"token": token, "entry": entry}), || {
        format!(
            "token, shown only now:        {token}\nline for the tokens file:     - {{name: {name}, role: {role}, sha256: {}}}",
            entry["sha256"].as_str().unwrap_or_default()
        )
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
