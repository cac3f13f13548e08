#include "engine/nn/parameter.h"

#include <algorithm>
#include <utility>

#include "kernels/elementwise.h"

namespace swath {

namespace {

constexpr std::int64_t kAlign = 64;  // floats

std::int64_t aligned(std::int64_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

/// Weights of convolutions, K×R×S×C.
bool is_convolution(const Parameter& parameter) { return parameter.shape.rank() == 4; }

}  // namespace

const char* name_of(ParameterGroup group) {
  static constexpr const char* kNames[kParameterGroups] = {"backbone", "head", "beta", "regressor"};
  return kNames[static_cast<int>(group)];
}

GradMode Parameter::grad_mode() {
  if (trainable == Trainable::no) return GradMode::skip;
  const GradMode mode = grad_written ? GradMode::accumulate : GradMode::overwrite;
  grad_written = true;
  ++grad_writes;
  return mode;
}

Parameter& ParameterBlock::declare(const std::string& name, Shape shape, ParameterGroup group, Initializer init) {
  SWATH_CHECK(!device_, "parameter {} declared after allocate()", name);
  if (find(name)) throw UserError(fmt::format("two parameters are named {}; rename one", name));
  parameters_.push_back({.block = this, .name = name, .shape = shape, .group = group, .value = {}, .grad = {}, .place = {}});
  inits_.push_back(std::move(init));
  return parameters_.back();
}

Buffer& ParameterBlock::declare_buffer(const std::string& name, Shape shape, Initializer init) {
  SWATH_CHECK(!device_, "buffer {} declared after allocate()", name);
  if (find_buffer(name)) throw UserError(fmt::format("two buffers are named {}; rename one", name));
  buffers_.push_back({.name = name, .shape = shape, .value = {}});
  buffer_inits_.push_back(std::move(init));
  return buffers_.back();
}

void ParameterBlock::allocate(Device& device, BlockUse use) {
  SWATH_CHECK(!device_, "allocate() called twice");
  device_ = &device;
  std::int64_t total = 0;
  for (int group = 0; group < kParameterGroups; ++group) {
    ranges_[static_cast<std::size_t>(group)].begin = total;
    for (const bool convolutions : {false, true}) {
      for (Parameter& p : parameters_) {
        if (static_cast<int>(p.group) != group || is_convolution(p) != convolutions) continue;
        p.place = {total, total + aligned(p.shape.numel())};
        total = p.place.end;
      }
    }
    ranges_[static_cast<std::size_t>(group)].end = total;
  }
  // A dry device keeps no values.
  const bool starts = use == BlockUse::trained && device.kind() != DeviceKind::dry;
  values_ = Tensor::zeros(device, {total}, DType::f32, Tag::weights);
  if (use == BlockUse::trained) grads_ = Tensor::zeros(device, {total}, DType::f32, Tag::grads);
  std::vector<float> host;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = parameters_[i];
    p.value = p.part_of(values_);
    if (use == BlockUse::copy) continue;
    p.grad = p.part_of(grads_);
    if (!starts) continue;
    host.assign(static_cast<std::size_t>(p.shape.numel()), 0.0f);
    inits_[i](host.data(), p.shape);
    p.value.copy_from_host(host.data());
  }
  std::int64_t buffer_total = 0;
  for (const Buffer& buffer : buffers_) buffer_total += aligned(buffer.shape.numel());
  buffer_values_ = Tensor::zeros(device, {buffer_total}, DType::f32, Tag::weights);
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    Buffer& b = buffers_[i];
    b.value = buffer_values_.rows(begin, begin + b.shape.numel()).view(b.shape);
    begin += aligned(b.shape.numel());
    if (!starts) continue;
    host.assign(static_cast<std::size_t>(b.shape.numel()), 0.0f);
    buffer_inits_[i](host.data(), b.shape);
    b.value.copy_from_host(host.data());
  }
  inits_.clear();
  buffer_inits_.clear();
}

Parameter* ParameterBlock::find(const std::string& name) {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(), [&](const Parameter& p) { return p.name == name; });
  return found == parameters_.end() ? nullptr : &*found;
}

Buffer* ParameterBlock::find_buffer(const std::string& name) {
  const auto found = std::find_if(buffers_.begin(), buffers_.end(), [&](const Buffer& b) { return b.name == name; });
  return found == buffers_.end() ? nullptr : &*found;
}

const Parameter* ParameterBlock::find(const std::string& name) const { return const_cast<ParameterBlock*>(this)->find(name); }

const Buffer* ParameterBlock::find_buffer(const std::string& name) const {
  return const_cast<ParameterBlock*>(this)->find_buffer(name);
}

std::int64_t ParameterBlock::count() const {
  std::int64_t n = 0;
  for (const Parameter& p : parameters_) n += p.trainable == Trainable::yes ? p.shape.numel() : 0;
  return n;
}

std::vector<Parameter*> ParameterBlock::in_order() {
  std::vector<Parameter*> order;
  for (Parameter& p : parameters_) order.push_back(&p);
  std::sort(order.begin(), order.end(), [](const Parameter* a, const Parameter* b) { return a->place.begin < b->place.begin; });
  return order;
}

void ParameterBlock::keep_low_precision_grads(DType type) {
  SWATH_CHECK(grads_.defined(), "gradients have no memory before allocate()");
  const DType before = low_precision_grads_.defined() ? low_precision_grads_.dtype() : DType::f32;
  SWATH_CHECK(before == type || before == DType::f32, "one block, two types of gradients");
  if (before == type) return;
  low_precision_grads_ = Tensor::zeros(*device_, grads_.shape(), type, Tag::grads);
  for (Parameter& p : parameters_)
    if (is_convolution(p)) p.grad = p.part_of(low_precision_grads_);
}

void ParameterBlock::widen_grads(const ParameterRange& range) {
  widened_ = true;
  if (!low_precision_grads_.defined()) return;
  const auto widen = [this](const ParameterRange& of) {
    const Tensor from = low_precision_grads_.rows(of.begin, of.end), to = grads_.rows(of.begin, of.end);
    const kernels::CastArgs cast{.n = of.size(), .from = from.dtype(), .to = to.dtype(), .x = from.raw(), .out = to.raw()};
    if (cast.n > 0) device_->run([&](auto exec) { kernels::cast(cast, exec); });
  };
  ParameterRange open;
  for (const Parameter* p : in_order()) {
    if (!is_convolution(*p) || p->place.begin < range.begin || p->place.end > range.end) continue;
    if (open.end != p->place.begin) widen(std::exchange(open, p->place));
    open.end = p->place.end;
  }
  widen(open);
}

const Tensor& ParameterBlock::grads_of(const Parameter& parameter) const {
  return low_precision_grads_.defined() && is_convolution(parameter) && !widened_ ? low_precision_grads_ : grads_;
}

Tensor ParameterBlock::gradient_of(const Parameter& parameter) const { return parameter.part_of(grads_of(parameter)); }

void ParameterBlock::begin_step() {
  widened_ = false;
  for (Parameter& p : parameters_) {
    p.grad_written = false;
    p.grad_writes = 0;
  }
}

void ParameterBlock::end_backward() {
  for (Parameter& p : parameters_) {
    if (!p.grad_written && p.trainable == Trainable::yes) p.grad.fill_zero();
  }
}

}  // namespace swath
