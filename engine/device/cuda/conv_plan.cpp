// The choice of cuDNN's engine for one convolution.
#include "engine/device/cuda/conv_plan.h"

#include "engine/device/cuda/conv_graph.h"
#include "engine/device/cuda/error.h"

namespace swath::cuda {

namespace fe = cudnn_frontend;

namespace {

void require(fe::error_t status, const char* step, const ConvProblem& problem) {
  if (status.is_good()) return;
  const std::string message = status.get_message();  // several lines
  const char* const remedy = problem.fusion == ConvFusion::none ? "another precision" : "conv_pipeline=off";
  throw DeviceError(
      fmt::format("cuDNN {} has no plan for the convolution {} on this device ({}: {}); set {}, or use another "
                  "version of cuDNN",
                  cudnnGetVersion(), describe(problem), step, message.substr(0, message.find('\n')), remedy));
}

std::vector<fe::NumericalNote_t> unwanted_notes(const ConvProblem& problem) {
  std::vector<fe::NumericalNote_t> notes = {fe::NumericalNote_t::NONDETERMINISTIC,
                                            fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION};
  if (problem.geometry.dtype == DType::f32 && problem.math == Float32Math::full) {
    notes.push_back(fe::NumericalNote_t::TENSOR_CORE);
    notes.push_back(fe::NumericalNote_t::DOWN_CONVERT_INPUTS);
  }
  return notes;
}

}  // namespace

struct ConvPlan::Impl {
  explicit Impl(const ConvProblem& problem) { describe_graph(graph, problem); }

  // check_support() is left out: it asks for the current device, and building a plan tells the same.
  fe::error_t build(const ConvProblem& problem, fe::HeurMode_t mode) {
    if (auto status = graph.create_execution_plans({mode}); status.is_bad()) return status;
    graph.deselect_numeric_notes(unwanted_notes(problem));
    graph.deselect_behavior_notes({fe::BehaviorNote_t::RUNTIME_COMPILATION});
    return graph.build_plans(fe::BuildPlanPolicy_t::HEURISTICS_CHOICE);
  }

  /// Plans of mode A without those that must not be used; none is built yet.
  void offer(const ConvProblem& problem, cudnnHandle_t handle) {
    require(graph.validate(), "validate", problem);
    require(graph.build_operation_graph(handle), "operation graph", problem);
    require(graph.create_execution_plans({fe::HeurMode_t::A}), "candidates", problem);
    graph.deselect_numeric_notes(unwanted_notes(problem));
    graph.deselect_behavior_notes({fe::BehaviorNote_t::RUNTIME_COMPILATION});
    graph.deselect_workspace_greater_than(kTuningWorkspace);
  }

  fe::graph::Graph graph;
  bool open = false;  // whether the fastest plan is still to be chosen
};

ConvPlan::ConvPlan(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ConvPlan::ConvPlan(ConvPlan&&) noexcept = default;
ConvPlan& ConvPlan::operator=(ConvPlan&&) noexcept = default;
ConvPlan::~ConvPlan() = default;

ConvPlan ConvPlan::for_handle(const ConvProblem& problem, cudnnHandle_t handle) {
  fe::error_t status;
  for (const fe::HeurMode_t mode : {fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}) {
    auto impl = std::make_unique<Impl>(problem);
    require(impl->graph.validate(), "validate", problem);
    require(impl->graph.build_operation_graph(handle), "operation graph", problem);
    status = impl->build(problem, mode);
    if (status.is_good()) return ConvPlan(std::move(impl));
  }
  require(status, "plan", problem);
  throw InternalError("cuDNN gave neither a plan nor an error");
}

std::optional<ConvPlan> ConvPlan::of_engine(const ConvProblem& problem, cudnnHandle_t handle, const std::string& engine) {
  auto impl = std::make_unique<Impl>(problem);
  impl->offer(problem, handle);
  for (std::int64_t i = 0; i < impl->graph.get_execution_plan_count(); ++i) {
    std::string name;
    if (impl->graph.get_plan_name_at_index(i, name).is_bad() || name != engine) continue;
    if (impl->graph.build_plan_at_index(i).is_good()) return ConvPlan(std::move(impl));
  }
  return std::nullopt;
}

ConvPlan ConvPlan::every_engine(const ConvProblem& problem, cudnnHandle_t handle) {
  auto impl = std::make_unique<Impl>(problem);
  impl->offer(problem, handle);
  if (impl->graph.build_plans(fe::BuildPlanPolicy_t::ALL).is_bad()) return for_handle(problem, handle);
  impl->open = true;
  return ConvPlan(std::move(impl));
}

ConvPlan ConvPlan::for_description(const ConvProblem& problem, const std::string& device_json) {
  const auto device = std::make_shared<fe::DeviceProperties>();
  require(device->deserialize(std::vector<std::uint8_t>(device_json.begin(), device_json.end())), "device description",
          problem);
  fe::error_t status;
  for (const fe::HeurMode_t mode : {fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}) {
    auto impl = std::make_unique<Impl>(problem);
    impl->graph.set_device_properties(device);
    require(impl->graph.validate(), "validate", problem);
    require(impl->graph.build_operation_graph(), "operation graph", problem);
    status = impl->build(problem, mode);
    if (status.is_good()) return ConvPlan(std::move(impl));
  }
  require(status, "plan", problem);
  throw InternalError("cuDNN gave neither a plan nor an error");
}

std::int64_t ConvPlan::workspace_bytes() const {
  return impl_->open ? impl_->graph.get_autotune_workspace_size() : impl_->graph.get_workspace_size();
}

std::string ConvPlan::engine() const {
  std::string name;
  return impl_->graph.get_plan_name(name).is_good() ? name : "unknown";
}

void ConvPlan::choose_fastest(cudnnHandle_t handle, const ConvArrays& arrays, void* workspace) {
  if (!impl_->open) return;
  ConvArrays pointers = arrays;
  fe::error_t status = impl_->graph.autotune(handle, pointers, workspace);
  if (status.is_bad()) throw InternalError(fmt::format("no engine of cuDNN could be timed: {}", status.get_message()));
  impl_->open = false;
}

void ConvPlan::execute(cudnnHandle_t handle, const ConvArrays& arrays, void* workspace) const {
  ConvArrays pointers = arrays;
  fe::error_t status = impl_->graph.execute(handle, pointers, workspace);
  if (status.is_bad()) throw InternalError(fmt::format("a convolution failed in cuDNN: {}", status.get_message()));
}

}  // namespace swath::cuda
