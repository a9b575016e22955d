//! Owners of OpenVINO's objects, and its status codes as errors.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use openvino_sys as sys;

use crate::EngineError;

/// Frees the object when dropped. The objects are usable from any thread; a request by one at a time.
macro_rules! owner {
    ($name:ident, $object:ty, $free:path) => {
        pub(super) struct $name(pub(super) *mut $object);

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: made by the library, owned here alone, freed once.
                unsafe { $free(self.0) }
            }
        }

        // SAFETY: OpenVINO's objects are not tied to threads.
        unsafe impl Send for $name {}
    };
}

owner!(Core, sys::ov_core_t, sys::ov_core_free);
owner!(Model, sys::ov_model_t, sys::ov_model_free);
owner!(
    CompiledModel,
    sys::ov_compiled_model_t,
    sys::ov_compiled_model_free
);
owner!(Request, sys::ov_infer_request_t, sys::ov_infer_request_free);
owner!(Tensor, sys::ov_tensor_t, sys::ov_tensor_free);
owner!(
    Port,
    sys::ov_output_const_port_t,
    sys::ov_output_const_port_free
);

// SAFETY: core and compiled model are documented as usable from several threads at once.
unsafe impl Sync for Core {}
// SAFETY: as above.
unsafe impl Sync for CompiledModel {}
// SAFETY: nothing changes a model once it is read; what is compiled is a copy.
unsafe impl Sync for Model {}

/// An error unless the status is OK, with the library's last message.
pub(super) fn checked(what: &str, status: sys::ov_status_e) -> Result<(), EngineError> {
    if status == sys::ov_status_e::OK {
        return Ok(());
    }
    // SAFETY: null or a string of the library's that it keeps until its next error in this thread.
    let message = unsafe {
        let text = sys::ov_get_last_err_msg();
        if text.is_null() {
            format!("{status:?}")
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    };
    // The first line only names a source file; the reason follows.
    let reason: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("Exception from") && !l.starts_with("Check '"))
        .collect();
    let reason = if reason.is_empty() {
        message.trim().to_owned()
    } else {
        reason.join("; ")
    };
    Err(EngineError::native(super::NAME, what, reason))
}

impl Core {
    /// What the library says of a device.
    pub(super) fn property(&self, device: &CStr, key: &CStr) -> Result<String, EngineError> {
        let mut value = ptr::null_mut();
        // SAFETY: core, device and key are alive; on success the value is a string of the library's, which `taken` frees.
        checked("asking a device", unsafe {
            sys::ov_core_get_property(self.0, device.as_ptr(), key.as_ptr(), &mut value)
        })?;
        Ok(taken(value))
    }

    /// All devices that there are plugins for, and that answer.
    pub(super) fn devices(&self) -> Result<Vec<String>, EngineError> {
        let mut found = sys::ov_available_devices_t {
            devices: ptr::null_mut(),
            size: 0,
        };
        // SAFETY: the core is alive; what the library allocates is freed below.
        checked("looking for devices", unsafe {
            sys::ov_core_get_available_devices(self.0, &mut found)
        })?;
        let names = (0..found.size).map(|index| {
            // SAFETY: there are as many names, each a string of the library's.
            let name = unsafe { CStr::from_ptr(*found.devices.add(index)) };
            name.to_string_lossy().into_owned()
        });
        let names = names.collect();
        // SAFETY: made by the library, freed once.
        unsafe { sys::ov_available_devices_free(&mut found) };
        Ok(names)
    }
}

/// A string of the library's, which is freed.
fn taken(text: *mut c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, ended by 0, made by the library, freed once.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        sys::ov_free(text);
        owned
    }
}

impl CompiledModel {
    /// What has become of a property.
    pub(super) fn property(&self, key: &str) -> Result<String, EngineError> {
        let key = CString::new(key)
            .map_err(|error| EngineError::native(super::NAME, "asking a model", error))?;
        let mut value = ptr::null_mut();
        // SAFETY: model and key are alive; on success the value is a string of the library's, which `taken` frees.
        checked("asking a model", unsafe {
            sys::ov_compiled_model_get_property(self.0, key.as_ptr(), &mut value)
        })?;
        Ok(taken(value))
    }

    pub(super) fn request(&self) -> Result<Request, EngineError> {
        let mut request = ptr::null_mut();
        // SAFETY: the compiled model is alive, and whoever has the request keeps it so.
        checked("making a request", unsafe {
            sys::ov_compiled_model_create_infer_request(self.0, &mut request)
        })?;
        Ok(Request(request))
    }
}

/// A tensor of f32 over a buffer that the caller keeps alive, of the shape's length.
pub(super) fn wrap(shape: &[i64], data: *mut c_void) -> Result<Tensor, EngineError> {
    let mut dims = shape.to_vec();
    let shape = sys::ov_shape_t {
        rank: dims.len() as i64,
        dims: dims.as_mut_ptr(),
    };
    let mut tensor = ptr::null_mut();
    // SAFETY: the shape is copied; the caller keeps `data` alive, of the port's length.
    let status = unsafe {
        sys::ov_tensor_create_from_host_ptr(sys::ov_element_type_e::F32, shape, data, &mut tensor)
    };
    checked("wrapping a buffer", status)?;
    Ok(Tensor(tensor))
}
