//! Owners of OpenVINO's objects, and its status codes as errors.

use std::ffi::CStr;

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

// SAFETY: core and compiled model are documented as usable from several threads at once.
unsafe impl Sync for Core {}
// SAFETY: as above.
unsafe impl Sync for CompiledModel {}

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
