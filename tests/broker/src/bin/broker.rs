//! A RabbitMQ for a script: prints its address, such as `127.0.0.1:41234`, and ends with its standard input. User `guest`,
//! password `guest`, vhost `/`.

use std::io::{self, Read, Write};

use broker_harness::{Broker, Options};

fn main() -> io::Result<()> {
    let broker = Broker::start(&Options::default())?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", broker.address())?;
    stdout.flush()?;
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
