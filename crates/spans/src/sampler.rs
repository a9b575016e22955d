//! Which traces are recorded: OpenTelemetry's named samplers.

use types::{TraceContext, TraceId};

use crate::environment::EnvironmentError;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    AlwaysOn,
    AlwaysOff,
    /// This share of all traces, chosen by their ids: every program chooses the same ones.
    Share(f64),
    /// As whoever began the trace decided; of a new one, this.
    ParentBased(Root),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Root {
    AlwaysOn,
    AlwaysOff,
    Share(f64),
}

impl Sampler {
    /// The values of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub fn parse(name: Option<&str>, argument: Option<&str>) -> Result<Self, EnvironmentError> {
        let share = || match argument {
            None => Ok(1.0),
            Some(text) => match text.trim().parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
                _ => Err(EnvironmentError::Share(text.to_owned())),
            },
        };
        Ok(match name.unwrap_or("parentbased_always_on").trim() {
            "always_on" => Self::AlwaysOn,
            "always_off" => Self::AlwaysOff,
            "traceidratio" => Self::Share(share()?),
            "parentbased_always_on" => Self::ParentBased(Root::AlwaysOn),
            "parentbased_always_off" => Self::ParentBased(Root::AlwaysOff),
            "parentbased_traceidratio" => Self::ParentBased(Root::Share(share()?)),
            other => return Err(EnvironmentError::Sampler(other.to_owned())),
        })
    }

    pub fn takes(self, trace: TraceId, parent: Option<&TraceContext>) -> bool {
        match (self, parent) {
            (Self::ParentBased(_), Some(parent)) => parent.sampled,
            (Self::AlwaysOn | Self::ParentBased(Root::AlwaysOn), _) => true,
            (Self::AlwaysOff | Self::ParentBased(Root::AlwaysOff), _) => false,
            (Self::Share(share) | Self::ParentBased(Root::Share(share)), _) => is_in(trace, share),
        }
    }
}

/// By the same bits of the id as OpenTelemetry's own programs: the lowest 63.
fn is_in(trace: TraceId, share: f64) -> bool {
    let bound = share * (1_u64 << 63) as f64;
    ((trace.low_bits() >> 1) as f64) < bound
}
