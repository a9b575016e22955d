//! libtorch's CUDA half: loaded beside the other when a GPU is first asked for, and told to be exact.

use std::error::Error;
use std::ffi::{CStr, c_char, c_int};

use engines::EngineError;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
use tch::{Cuda, Device, Kind, Tensor};

use crate::{Place, file::checked};

const NAME: &str = "torch-cuda";

/// Looked for where libtorch itself was found: by the program's rpath or its parent's `LD_LIBRARY_PATH`.
const LIBRARY: &str = "libtorch_cuda.so";
/// The driver's, from the system.
const DRIVER: &str = "libcuda.so.1";

unsafe extern "C" {
    fn nightshift_exact_cuda() -> *const c_char;
}

/// The first GPU that this process is shown: an executor is shown one.
pub(crate) fn open() -> Result<Place, EngineError> {
    load()?;
    let place = Place {
        engine: NAME,
        device: Device::Cuda(0),
    };
    // Why there is none is told by whoever asks for memory, not by those who count.
    if let Err(error) = Tensor::f_zeros([1], (Kind::Float, place.device)) {
        return Err(match EngineError::native(NAME, "a first touch", error) {
            EngineError::Native { message, .. } | EngineError::Gpu { message, .. } => {
                EngineError::NoGpu {
                    engine: NAME,
                    message,
                }
            }
            other => other,
        });
    }
    // SAFETY: sets what libtorch keeps for the whole process.
    checked(NAME, "asking for exact products", unsafe {
        nightshift_exact_cuda()
    })?;
    Ok(place)
}

/// Before anybody asks libtorch whether it has CUDA: it remembers the answer.
fn load() -> Result<(), EngineError> {
    // SAFETY: the library of libtorch's own release; it only registers what it can compute.
    let library = unsafe { Library::open(Some(LIBRARY), RTLD_NOW | RTLD_GLOBAL) };
    let library = library.map_err(|error| EngineError::NoCuda {
        engine: NAME,
        // What the loader says is behind what was called.
        message: error
            .source()
            .map_or(error.to_string(), ToString::to_string),
    })?;
    // What it has registered is called as long as the process lives.
    std::mem::forget(library);
    Ok(())
}

/// All that this process is shown.
pub(crate) fn devices() -> Vec<String> {
    (0..Cuda::device_count())
        .map(|n| format!("cuda:{n}"))
        .collect()
}

/// The model's name, on which bits depend; its number where the driver does not tell.
pub(crate) fn name(number: usize) -> String {
    named(number).unwrap_or_else(|| format!("cuda:{number}"))
}

fn named(number: usize) -> Option<String> {
    let number = c_int::try_from(number).ok()?;
    let mut text: [c_char; 256] = [0; 256];
    // SAFETY: functions of the driver's stable interface by their documented types; the text is as long as is said, and
    // ends with zero since the last byte is not lent.
    unsafe {
        let driver = Library::new(DRIVER).ok()?;
        let get = driver
            .get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0")
            .ok()?;
        let name = driver
            .get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(b"cuDeviceGetName\0")
            .ok()?;
        let mut device: c_int = 0;
        if get(&raw mut device, number) != 0 || name(text.as_mut_ptr(), 255, device) != 0 {
            return None;
        }
        Some(CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
    }
}
