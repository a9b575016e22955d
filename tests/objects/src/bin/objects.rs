//! An S3 server for a script: `objects FOLDER CONFIG` starts one, puts the files of FOLDER into its bucket `bench` below `images/`,
//! writes settings with that store into CONFIG, says `ready`, and ends with its standard input.

use std::{
    error::Error,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use objects::{Seaweed, WRITER, config};
use store::Stores;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = &arguments[..] else {
        return Err("usage: objects FOLDER CONFIG".into());
    };
    let server = Seaweed::start(&["bench"]);
    let folder = to.parent().ok_or("CONFIG has no folder")?;
    fs::write(to, config("s3://bench", &server.endpoint(), WRITER, folder))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(put(from, to))?;
    println!("ready");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn put(from: &Path, config: &Path) -> Result<(), Box<dyn Error>> {
    let store = Stores::read(Some(config))?.create("s3://bench")?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| "a name that is no text")?;
        let bytes = fs::read(entry.path())?;
        store.put(&format!("images/{name}"), bytes.into()).await?;
    }
    Ok(())
}
