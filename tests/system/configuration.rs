//! The page `docs/configuration.md` lists every setting of every program; it is made from the programs' own flags.

use std::{env, fs, path::Path};

const HEAD: &str = "\
# Configuration

Every program merges its settings at start: defaults < configuration file < environment < flags. `--config FILE` (or
`NIGHTSHIFT_CONFIG`) names the file; `PROGRAM --print-config` prints what came out, as a section of such a file, with where each
value is from. One file may serve all programs; unknown keys are errors with line and column:

```yaml
coordinator: {listen: \"0.0.0.0:7070\", tokens: /etc/nightshift/tokens.yaml, tls_cert: /etc/nightshift/tls.crt, tls_key: /etc/nightshift/tls.key}
worker: {coordinator: \"https://nightshift.example:7070\", token_file: /etc/nightshift/worker.token, slots: 2}
ctl: {coordinator: \"https://nightshift.example:7070\", token_file: /home/me/.nightshift.token}
```

The sections `stores` and `cache` are described in [operations](operations.md). A token or password itself never stands in a file
that others read: `NIGHTSHIFT_TOKEN` and `NIGHTSHIFT_BROKER_PASSWORD` hold one, `token_file` and `broker_password_file` name a file.

Made by `UPDATE=1 cargo test --workspace --test system configuration`.

";

#[test]
fn the_page_lists_every_setting() {
    let page = [
        HEAD.to_owned(),
        settings::page::<coordinator::Settings>("coordinator"),
        settings::page::<worker::Settings>("worker"),
        settings::page::<ctl::Cli>("ctl"),
    ];
    let page = page.join("\n").replace("\n\n\n", "\n\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/configuration.md is out of date: UPDATE=1 cargo test --workspace --test system configuration"
    );
}
