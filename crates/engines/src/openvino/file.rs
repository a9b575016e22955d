//! Model files of other programs.

use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;

use openvino_sys as sys;

use super::NAME;
use super::copies::Copies;
use super::handle::{CompiledModel, Model, Port, Request, Tensor, checked, wrap};
use crate::image_model::image_size;
use crate::{EngineError, ImageModel, ImageSession, Output};

/// The size of the images that a model takes, and the names of its outputs.
pub(super) fn ports(model: &Model) -> Result<(Option<[usize; 2]>, Vec<String>), EngineError> {
    const WHAT: &str = "reading a file";
    let mut inputs = 0;
    let mut outputs = 0;
    // SAFETY: the model is alive; numbers are written to the places given.
    checked(WHAT, unsafe {
        sys::ov_model_inputs_size(model.0, &mut inputs)
    })?;
    // SAFETY: as above.
    checked(WHAT, unsafe {
        sys::ov_model_outputs_size(model.0, &mut outputs)
    })?;
    let (is_f32, extents) = match inputs {
        1 => {
            let mut port = ptr::null_mut();
            // SAFETY: as above; the port is owned from here on.
            checked(WHAT, unsafe {
                sys::ov_model_const_input_by_index(model.0, 0, &mut port)
            })?;
            Port(port).extents()?
        }
        _ => (false, Vec::new()),
    };
    let name = |index| {
        let mut port = ptr::null_mut();
        // SAFETY: as above.
        checked(WHAT, unsafe {
            sys::ov_model_const_output_by_index(model.0, index, &mut port)
        })?;
        Ok(Port(port).name())
    };
    let names: Result<_, EngineError> = (0..outputs).map(name).collect();
    Ok((image_size(NAME, inputs, is_f32, &extents)?, names?))
}

impl Port {
    /// Whether it is of f32, and its extents; `None`: open.
    fn extents(&self) -> Result<(bool, Vec<Option<usize>>), EngineError> {
        let mut element = sys::ov_element_type_e::DYNAMIC;
        // SAFETY: the port is alive; the type is written to the place given.
        checked("reading a file", unsafe {
            sys::ov_port_get_element_type(self.0, &mut element)
        })?;
        let mut shape = sys::ov_partial_shape_t {
            rank: sys::ov_dimension_t { min: 0, max: 0 },
            dims: ptr::null_mut(),
        };
        // SAFETY: as above; what the library allocates for the shape is freed below.
        checked("reading a file", unsafe {
            sys::ov_port_get_partial_shape(self.0, &mut shape)
        })?;
        let rank = match usize::try_from(shape.rank.max) {
            Ok(rank) if shape.rank.min == shape.rank.max && !shape.dims.is_null() => rank,
            _ => 0,
        };
        let extents = (0..rank).map(|axis| {
            // SAFETY: a shape of a known rank has as many dimensions.
            let dimension = unsafe { *shape.dims.add(axis) };
            let is_known = dimension.min == dimension.max;
            usize::try_from(dimension.min).ok().filter(|_| is_known)
        });
        let extents = extents.collect();
        // SAFETY: made by the library, freed once.
        unsafe { sys::ov_partial_shape_free(&mut shape) };
        Ok((element == sys::ov_element_type_e::F32, extents))
    }

    /// Empty if it has none.
    fn name(&self) -> String {
        let mut name = ptr::null_mut();
        // SAFETY: the port is alive; on success the name is a string of the library's, freed below.
        unsafe {
            if sys::ov_port_get_any_name(self.0, &mut name) != sys::ov_status_e::OK
                || name.is_null()
            {
                return String::new();
            }
            let text = CStr::from_ptr(name).to_string_lossy().into_owned();
            sys::ov_free(name);
            text
        }
    }
}

pub(super) struct OpenVinoFile {
    copies: Copies,
    image_size: Option<[usize; 2]>,
    names: Arc<[String]>,
}

impl OpenVinoFile {
    pub(super) fn new(copies: Copies, image_size: Option<[usize; 2]>, names: Vec<String>) -> Self {
        Self {
            copies,
            image_size,
            names: names.into(),
        }
    }
}

impl ImageModel for OpenVinoFile {
    fn image_size(&self) -> Option<[usize; 2]> {
        self.image_size
    }

    fn output_names(&self) -> &[String] {
        &self.names
    }

    fn session(&self) -> Result<Box<dyn ImageSession>, EngineError> {
        let compiled = self.copies.next();
        Ok(Box::new(OpenVinoFileSession {
            request: compiled.request()?,
            names: Arc::clone(&self.names),
            _compiled: Arc::clone(compiled),
        }))
    }
}

struct OpenVinoFileSession {
    // Dropped before the model it belongs to.
    request: Request,
    names: Arc<[String]>,
    _compiled: Arc<CompiledModel>,
}

impl ImageSession for OpenVinoFileSession {
    fn run(
        &mut self,
        image: &[f32],
        [height, width]: [usize; 2],
    ) -> Result<Vec<Output>, EngineError> {
        let expected = 3 * height * width;
        if image.len() != expected {
            return Err(EngineError::Buffer {
                engine: NAME,
                port: "the image".to_owned(),
                expected,
                found: image.len(),
            });
        }
        let shape = [1, 3, height as i64, width as i64];
        // (cast to mut): an input tensor is only read.
        let input = wrap(&shape, image.as_ptr().cast_mut().cast())?;
        // SAFETY: request and tensor are alive; the image is alive during this synchronous call, and the next one replaces the
        // tensor before it is used.
        checked("setting an input", unsafe {
            sys::ov_infer_request_set_input_tensor_by_index(self.request.0, 0, input.0)
        })?;
        // SAFETY: as above.
        checked("inference", unsafe {
            sys::ov_infer_request_infer(self.request.0)
        })?;
        let mut outputs = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            let mut tensor = ptr::null_mut();
            // SAFETY: the request is alive; the tensor object is owned from here on.
            checked("reading an output", unsafe {
                sys::ov_infer_request_get_output_tensor_by_index(self.request.0, index, &mut tensor)
            })?;
            outputs.extend(Tensor(tensor).output(name)?);
        }
        Ok(outputs)
    }
}

impl Tensor {
    /// With a copy of the values; `None` unless they are f32.
    fn output(&self, name: &str) -> Result<Option<Output>, EngineError> {
        const WHAT: &str = "reading an output";
        let mut element = sys::ov_element_type_e::DYNAMIC;
        // SAFETY: the tensor is alive; the type is written to the place given.
        checked(WHAT, unsafe {
            sys::ov_tensor_get_element_type(self.0, &mut element)
        })?;
        if element != sys::ov_element_type_e::F32 {
            return Ok(None);
        }
        let mut len = 0;
        // SAFETY: as above.
        checked(WHAT, unsafe { sys::ov_tensor_get_size(self.0, &mut len) })?;
        let extents = self.extents(len)?;
        let mut data = ptr::null_mut();
        // SAFETY: as above.
        checked(WHAT, unsafe { sys::ov_tensor_data(self.0, &mut data) })?;
        let values = match data.is_null() || len == 0 {
            true => Vec::new(),
            // SAFETY: a tensor of f32 holds as many values as it says, and lives to the end of this function.
            false => unsafe { std::slice::from_raw_parts(data.cast::<f32>(), len) }.to_vec(),
        };
        Ok(Some(Output {
            name: name.to_owned(),
            shape: extents,
            values,
        }))
    }

    /// Of so many values.
    fn extents(&self, len: usize) -> Result<Vec<usize>, EngineError> {
        const WHAT: &str = "reading an output's shape";
        let mut shape = sys::ov_shape_t {
            rank: 0,
            dims: ptr::null_mut(),
        };
        // SAFETY: the tensor is alive; what the library allocates for the shape is freed below.
        let status = unsafe { sys::ov_tensor_get_shape(self.0, &mut shape) };
        // The C interface has no shape without extents.
        if len == 1 && status == sys::ov_status_e::INVALID_C_PARAM {
            return Ok(Vec::new());
        }
        checked(WHAT, status)?;
        let rank = usize::try_from(shape.rank).unwrap_or(0);
        let extents = (0..rank).map(|axis| {
            // SAFETY: a shape has as many extents as its rank says.
            let extent = unsafe { *shape.dims.add(axis) };
            usize::try_from(extent).unwrap_or(0)
        });
        let extents = extents.collect();
        // SAFETY: made by the library, freed once.
        checked(WHAT, unsafe { sys::ov_shape_free(&mut shape) })?;
        Ok(extents)
    }
}
