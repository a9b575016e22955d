// What the bindings of libtorch lack: to save a record of what it does whose method has several results (they can record, too),
// and to forbid shortened products on GPUs.

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Context.h>
#include <torch/csrc/jit/frontend/tracer.h>
#include <torch/csrc/jit/passes/fixup_trace_scope_blocks.h>
#include <torch/csrc/jit/passes/normalize_ops.h>
#include <torch/script.h>

namespace {

using torch::jit::tracer::TracingState;

// Null, or what went wrong: valid until the next call in the thread. No record is left open then.
template <class Action>
const char* guarded(Action action) {
    static thread_local std::string why;
    try {
        action();
        return nullptr;
    } catch (const c10::Error& error) {
        why = error.what_without_backtrace();
    } catch (const std::exception& error) {
        why = error.what();
    } catch (...) {
        why = "an unknown error";
    }
    torch::jit::tracer::abandon();
    return why.c_str();
}

}  // namespace

extern "C" {

// From then on products on GPUs are those of whole f32 (cuDNN's would have factors of 19 bits, TF32), and always by the same
// algorithm.
const char* nightshift_exact_cuda() {
    return guarded([] {
        auto& context = at::globalContext();
        context.setAllowTF32CuBLAS(false);
        context.setAllowTF32CuDNN(false);
        context.setBenchmarkCuDNN(false);
        context.setDeterministicCuDNN(true);
    });
}

// Everything that this thread does with these tensors is recorded from now on.
const char* nightshift_begin_record(const at::Tensor* const* inputs, size_t count) {
    return guarded([&] {
        TORCH_CHECK(!torch::jit::tracer::isTracing(), "a record is open already");
        auto state = std::make_shared<TracingState>();
        torch::jit::tracer::setTracingState(state);
        state->graph->insertInput(0, "self");
        for (size_t i = 0; i < count; ++i) {
            auto* value = state->graph->addInput();
            value->setType(torch::jit::TensorType::get());
            state->setValue(*inputs[i], value);
        }
    });
}

// Ends the record. The method gives one tensor as it is, several as a tuple.
const char* nightshift_save_record(const at::Tensor* const* outputs, size_t count, const char* path) {
    return guarded([&] {
        auto state = torch::jit::tracer::getTracingState();
        TORCH_CHECK(state != nullptr, "no record is open");
        auto& graph = state->graph;
        std::vector<torch::jit::Value*> values;
        for (size_t i = 0; i < count; ++i) {
            values.push_back(state->getOutput(*outputs[i], i));
        }
        if (count == 1) {
            graph->registerOutput(values[0]);
        } else {
            graph->registerOutput(graph->insertNode(graph->createTuple(values))->output());
        }
        torch::jit::Module module("nightshift");
        graph->inputs().at(0)->setType(module._ivalue()->type());
        torch::jit::FixupTraceScopeBlocks(graph, &module);
        torch::jit::NormalizeOps(graph);
        torch::jit::tracer::setTracingState(nullptr);
        auto* method = module._ivalue()->compilation_unit()->create_function("forward", graph);
        module.type()->addMethod(method);
        module.save(path);
    });
}

void nightshift_abandon_record() {
    torch::jit::tracer::abandon();
}

}  // extern "C"
