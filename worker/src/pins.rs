//! Which device the executor of each slot computes on: a GPU belongs to one slot alone.

use types::{Device, Devices};
use worker_core::SlotNumber;

/// What CUDA shows to a process: numbers or names of GPUs. Nothing, if it is set and empty.
pub const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// How CUDA counts GPUs.
pub const ORDER: &str = "CUDA_DEVICE_ORDER";

/// As `nvidia-smi` counts; CUDA's own order, the fastest first, may put another GPU in a number's place.
pub const BY_PLACE: &str = "PCI_BUS_ID";

/// The devices of a worker's slots: as many as it has slots; of GPUs no two the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    devices: Devices,
    of_slots: Vec<Pin>,
}

/// What an executor is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    pub device: Device,
    /// For [`VISIBLE`]: this GPU alone. Empty: none, so that nothing takes one by accident.
    pub visible: String,
}

/// Settings that do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error(
        "{slots} slots are too many for --device {devices}: an executor has a GPU for itself; say --slots {gpus} or less, or leave it out"
    )]
    TooManySlots {
        slots: usize,
        gpus: usize,
        devices: Devices,
    },
    #[error(
        "--device {device}: CUDA_VISIBLE_DEVICES shows {shown} here, and GPUs are counted among those, from cuda:0"
    )]
    NotShown { device: Device, shown: String },
    #[error("--engines torch-cuda computes on GPUs: name them too, as in --device cuda:0")]
    OnGpus,
    #[error(
        "--device {one} and {other} are the same GPU: CUDA_VISIBLE_DEVICES names {visible} twice"
    )]
    Same {
        one: Device,
        other: Device,
        visible: String,
    },
}

impl Pins {
    /// `slots`: what the user asks for, else one, or one a GPU; with fewer slots than GPUs the first GPUs are used.
    /// `shown`: what [`VISIBLE`] is for the worker itself.
    pub fn new(
        devices: &Devices,
        slots: Option<u32>,
        shown: Option<&str>,
    ) -> Result<Self, PinError> {
        let all = devices.as_slice();
        let slots = slots.map_or(all.len(), |slots| slots as usize);
        if !devices.are_gpus() {
            let pin = Pin {
                device: Device::Cpu,
                visible: String::new(),
            };
            return Ok(Self {
                devices: devices.clone(),
                of_slots: vec![pin; slots],
            });
        }
        if slots > all.len() {
            return Err(PinError::TooManySlots {
                slots,
                gpus: all.len(),
                devices: devices.clone(),
            });
        }
        let devices = devices.first(slots);
        let mut of_slots: Vec<Pin> = Vec::new();
        for &device in devices.as_slice() {
            let visible = visible(device, shown)?;
            if let Some(other) = of_slots.iter().find(|pin| pin.visible == visible) {
                return Err(PinError::Same {
                    one: other.device,
                    other: device,
                    visible,
                });
            }
            of_slots.push(Pin { device, visible });
        }
        Ok(Self { devices, of_slots })
    }

    pub fn slots(&self) -> u32 {
        // As many as the user asked for, or typed.
        u32::try_from(self.of_slots.len()).unwrap_or(u32::MAX)
    }

    /// What the worker offers: the devices that its slots have.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// None for a slot that there is not.
    pub fn of(&self, slot: SlotNumber) -> Option<&Pin> {
        self.of_slots.get(slot as usize)
    }
}

/// The name by which CUDA shows the device alone.
fn visible(device: Device, shown: Option<&str>) -> Result<String, PinError> {
    let (Device::Cuda(number), Some(shown)) = (device, shown) else {
        return Ok(match device {
            Device::Cpu => String::new(),
            Device::Cuda(number) => number.to_string(),
        });
    };
    let names = shown.split(',').map(str::trim);
    // CUDA itself stops there.
    let mut names = names.take_while(|name| !name.is_empty() && *name != "-1");
    names
        .nth(number as usize)
        .map(str::to_owned)
        .ok_or_else(|| PinError::NotShown {
            device,
            shown: format!("{shown:?}"),
        })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pins(devices: &str, slots: Option<u32>, shown: Option<&str>) -> Result<Pins, PinError> {
        Pins::new(&devices.parse().unwrap(), slots, shown)
    }

    /// Device and what is visible of it, slot by slot.
    fn seen(pins: &Pins) -> Vec<String> {
        let seen = |slot| {
            let pin = pins.of(slot).unwrap();
            format!("{} as {:?}", pin.device, pin.visible)
        };
        (0..pins.slots()).map(seen).collect()
    }

    #[test]
    fn each_slot_has_a_gpu_of_its_own_and_processors_see_none() {
        for (devices, slots, shown, wanted) in [
            ("cpu", None, None, vec!["cpu as \"\""]),
            ("cpu", Some(2), Some("0,1"), vec!["cpu as \"\""; 2]),
            (
                "cuda:3,cuda:1",
                None,
                None,
                vec!["cuda:3 as \"3\"", "cuda:1 as \"1\""],
            ),
            ("cuda:3,cuda:1", Some(1), None, vec!["cuda:3 as \"3\""]),
            (
                "cuda:0,cuda:2",
                None,
                Some("7, GPU-5f,MIG-1/0/0"),
                vec!["cuda:0 as \"7\"", "cuda:2 as \"MIG-1/0/0\""],
            ),
        ] {
            let pins = pins(devices, slots, shown).unwrap();
            assert_eq!(seen(&pins), wanted, "{devices} {slots:?} {shown:?}");
            assert_eq!(pins.of(pins.slots()), None);
        }
        let used = pins("cuda:3,cuda:1", Some(1), None).unwrap();
        assert_eq!(used.devices().to_string(), "cuda:3");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (devices, slots, shown, words) in [
            (
                "cuda:0,cuda:1",
                Some(3),
                None,
                "3 slots are too many for --device cuda:0,cuda:1",
            ),
            (
                "cuda:2",
                None,
                Some("4,5"),
                "--device cuda:2: CUDA_VISIBLE_DEVICES shows \"4,5\"",
            ),
            ("cuda:0", None, Some(""), "shows \"\""),
            ("cuda:1", None, Some("0,-1,1"), "--device cuda:1"),
            (
                "cuda:0,cuda:1",
                None,
                Some("4,4"),
                "--device cuda:0 and cuda:1 are the same GPU",
            ),
        ] {
            let error = pins(devices, slots, shown).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_two_slots_share_a_gpu(
            numbers in prop::collection::btree_set(0u32..12, 1..6)
                .prop_map(Vec::from_iter)
                .prop_shuffle(),
            slots in prop::option::of(1u32..8),
            shown in prop::option::of(prop::collection::vec(0u32..8, 0..12)),
        ) {
            let devices = Devices::new(numbers.iter().copied().map(Device::Cuda).collect()).unwrap();
            let shown = shown.map(|shown| {
                shown.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
            });
            if let Ok(pins) = Pins::new(&devices, slots, shown.as_deref()) {
                let visible: BTreeSet<_> = pins.of_slots.iter().map(|pin| &pin.visible).collect();
                prop_assert_eq!(visible.len(), pins.of_slots.len());
                prop_assert!(visible.iter().all(|one| !one.is_empty() && !one.contains(',')));
                let of_slots: Vec<Device> = pins.of_slots.iter().map(|pin| pin.device).collect();
                prop_assert_eq!(pins.devices().as_slice(), of_slots.as_slice());
                prop_assert_eq!(pins.slots(), slots.unwrap_or(numbers.len() as u32));
            } else {
                let too_many = slots.is_some_and(|slots| slots as usize > numbers.len());
                prop_assert!(too_many || shown.is_some());
            }
        }
    }
}
