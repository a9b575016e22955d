//! `openvino-ir MODEL.onnx MODEL.xml`: writes an ONNX file in OpenVINO's own format, with the numbers in MODEL.bin.
//!
//! A program of its own: it links OpenVINO's C++ library, which the executor opens only when it computes with it.

use std::{
    env,
    ffi::{CStr, CString, OsString, c_char},
    os::unix::ffi::OsStringExt,
    process::ExitCode,
};

unsafe extern "C" {
    fn nightshift_openvino_version() -> *const c_char;
    fn nightshift_save_ir(onnx: *const c_char, xml: *const c_char) -> *const c_char;
}

fn main() -> ExitCode {
    let paths: Vec<OsString> = env::args_os().skip(1).collect();
    if paths == ["--version"] {
        // SAFETY: a text of the library's that lives as long as the program.
        let version = unsafe { CStr::from_ptr(nightshift_openvino_version()) };
        println!("{}", version.to_string_lossy());
        return ExitCode::SUCCESS;
    }
    let told = match <[OsString; 2]>::try_from(paths) {
        Ok(paths) => save(paths),
        Err(_) => Err("expected MODEL.onnx MODEL.xml".to_owned()),
    };
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("openvino-ir: {why}");
            ExitCode::FAILURE
        }
    }
}

fn save(paths: [OsString; 2]) -> Result<(), String> {
    let [onnx, xml] = paths.map(|path| CString::new(path.into_vec()));
    let (onnx, xml) = (
        onnx.map_err(|e| e.to_string())?,
        xml.map_err(|e| e.to_string())?,
    );
    // SAFETY: both are texts that end with zero and outlive the call; no exception leaves it.
    let why = unsafe { nightshift_save_ir(onnx.as_ptr(), xml.as_ptr()) };
    if why.is_null() {
        return Ok(());
    }
    // SAFETY: a text that ends with zero and lives until the next call in this thread.
    Err(unsafe { CStr::from_ptr(why) }
        .to_string_lossy()
        .into_owned())
}
