// OpenVINO writes its own format through its C++ interface only.

#include <exception>
#include <string>

#include <openvino/openvino.hpp>

extern "C" const char* nightshift_openvino_version() {
    return ov::get_openvino_version().buildNumber;
}

// Reads an ONNX file and writes model.xml with model.bin beside it. Null, or why not: valid until the next call in the thread.
extern "C" const char* nightshift_save_ir(const char* onnx, const char* xml) {
    static thread_local std::string why;
    try {
        ov::Core core;
        // Which constants have 16 bits is said in the ONNX file; to let OpenVINO choose would take all of them.
        ov::save_model(core.read_model(std::string(onnx)), std::string(xml), false);
        return nullptr;
    } catch (const std::exception& error) {
        why = error.what();
    } catch (...) {
        why = "an unknown error";
    }
    return why.c_str();
}
