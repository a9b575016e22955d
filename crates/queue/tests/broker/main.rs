//! The queue against a real RabbitMQ, through everything that can happen to a connection.

mod alarms;
mod contract;
mod cuts;
mod refusals;
mod restarts;
mod support;
