//! One try of everything, for a program's start: what is wrong with the broker is said before work depends on it.

use types::PoolName;

use crate::error::BrokerError;
use crate::link::Link;
use crate::settings::Settings;
use crate::topology;

/// Connects, declares the pools' queues and leaves again.
pub async fn check(settings: &Settings, pools: &[PoolName]) -> Result<(), BrokerError> {
    let link = Link::open(settings).await?;
    for pool in pools {
        let channel = link.channel().await?;
        link.command("declare", topology::declare(&channel, pool))
            .await?;
    }
    link.close().await;
    Ok(())
}

/// The same where an outage is no reason not to start: it is logged, and work goes on by polling.
pub async fn check_at_start(settings: &Settings, pools: &[PoolName]) -> Result<(), BrokerError> {
    match check(settings, pools).await {
        Err(error) if !error.needs_somebody() => {
            tracing::warn!(broker = %settings.url, error = types::chain(&error), "the broker is not there: workers poll until it is");
            Ok(())
        }
        checked => checked,
    }
}
