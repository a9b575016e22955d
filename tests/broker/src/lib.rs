//! For tests: a private RabbitMQ that can be killed and started again, and a TCP proxy that breaks connections.

mod broker;
mod process;
mod proxy;

pub use broker::{Broker, Options};
pub use proxy::{Direction, Proxy};
