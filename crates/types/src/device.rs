//! What executors compute on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One of a machine's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    Cpu,
    /// A GPU by CUDA's number for it, counted among those that the worker may see.
    Cuda(u32),
}

/// What a worker offers: its processors, or GPUs of which each executor has one for itself. Never both: a task on a
/// processor would keep a GPU from one that needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Devices(Vec<Device>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    #[error(
        "{0:?} is not a device: expected cpu, or GPUs such as cuda:0, several with a comma between them"
    )]
    NotADevice(String),
    #[error("device {0} is given twice: no two executors share one")]
    Twice(Device),
    #[error("cpu and {0} cannot be offered by one worker; start one for each")]
    Mixed(Device),
    #[error("no device is given: expected cpu, or GPUs such as cuda:0")]
    None,
}

impl Devices {
    pub fn new(devices: Vec<Device>) -> Result<Self, DeviceError> {
        let gpu = devices.iter().find(|device| **device != Device::Cpu);
        if let (Some(gpu), true) = (gpu, devices.contains(&Device::Cpu)) {
            return Err(DeviceError::Mixed(*gpu));
        }
        let twice = |(place, device): &(usize, &Device)| devices[..*place].contains(device);
        if let Some((_, device)) = devices.iter().enumerate().find(twice) {
            return Err(DeviceError::Twice(*device));
        }
        match devices.as_slice() {
            [] => Err(DeviceError::None),
            _ => Ok(Self(devices)),
        }
    }

    pub fn are_gpus(&self) -> bool {
        !self.0.contains(&Device::Cpu)
    }

    /// So many of them, but never none.
    pub fn first(&self, count: usize) -> Self {
        Self(self.0[..count.clamp(1, self.0.len())].to_vec())
    }

    /// In the order in which they were given; never empty.
    pub fn as_slice(&self) -> &[Device] {
        &self.0
    }
}

impl Default for Devices {
    fn default() -> Self {
        Self(vec![Device::Cpu])
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let number = |number: &str| number.parse().ok().map(Self::Cuda);
        match text {
            "cpu" => Some(Self::Cpu),
            _ => text.strip_prefix("cuda:").and_then(number),
        }
        .filter(|device| device.to_string() == text)
        .ok_or_else(|| DeviceError::NotADevice(text.to_owned()))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for Devices {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        Self::new(parts.map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, device) in self.0.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            write!(f, "{comma}{device}")?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<String>> for Devices {
    type Error = DeviceError;

    fn try_from(words: Vec<String>) -> Result<Self, DeviceError> {
        let parsed: Result<_, _> = words.iter().map(|word| word.parse()).collect();
        Self::new(parsed?)
    }
}

impl From<Devices> for Vec<String> {
    fn from(devices: Devices) -> Self {
        devices.0.iter().map(Device::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_back_in_their_order() {
        for (text, read, gpus) in [
            ("cpu", "cpu", false),
            ("cuda:0", "cuda:0", true),
            ("cuda:3, cuda:1", "cuda:3,cuda:1", true),
        ] {
            let devices: Devices = text.parse().unwrap();
            assert_eq!(
                (devices.to_string().as_str(), devices.are_gpus()),
                (read, gpus)
            );
            let words = Vec::<String>::from(devices.clone());
            assert_eq!(Devices::try_from(words), Ok(devices));
        }
        assert_eq!(Devices::default().to_string(), "cpu");
    }

    #[test]
    fn what_no_worker_can_offer_is_named() {
        for (text, word) in [
            ("", "no device"),
            ("gpu", "\"gpu\" is not a device"),
            ("cuda", "\"cuda\""),
            ("cuda:", "\"cuda:\""),
            ("cuda:+1", "\"cuda:+1\""),
            ("cuda:01", "\"cuda:01\""),
            ("openvino:GPU", "\"openvino:GPU\""),
            ("cuda:1,cuda:1", "cuda:1 is given twice"),
            ("cpu,cpu", "cpu is given twice"),
            ("cuda:0,cpu", "cpu and cuda:0 cannot"),
        ] {
            let error = text.parse::<Devices>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
