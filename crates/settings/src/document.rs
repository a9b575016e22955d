//! The page that documents every setting, made from the flags themselves.

use clap::{ArgAction, Parser};

use crate::{command, configurable, key};

/// A table of the program's settings in Markdown.
pub fn page<S: Parser>(section: &str) -> String {
    let command = command::<S>();
    let mut text = format!(
        "## `{section}`\n\n| key in the file | flag | environment | default | meaning |\n| --- | --- | --- | --- | --- |\n"
    );
    for arg in configurable(&command) {
        let value = match (arg.get_action(), arg.get_value_names()) {
            (ArgAction::SetTrue, _) => String::new(),
            (_, Some(names)) => names.iter().map(|name| format!(" {name}")).collect(),
            (_, None) => format!(" {}", key(arg).to_uppercase()),
        };
        let default: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        let environment = arg
            .get_env()
            .map(|name| format!("`{}`", name.to_string_lossy()))
            .unwrap_or_default();
        let help = arg
            .get_help()
            .map(|help| help.to_string().replace('\n', " ").replace('|', "\\|"))
            .unwrap_or_default();
        text += &format!(
            "| `{}` | `--{}{value}` | {environment} | {} | {help} |\n",
            key(arg),
            arg.get_long().unwrap_or_default(),
            default.join(", "),
        );
    }
    text
}
