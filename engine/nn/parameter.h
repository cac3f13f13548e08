// Every parameter of a model in a few flat arrays, so that an optimiser step, a momentum copy, a checkpoint and an
// all-reduce each are one operation over memory.
#pragma once
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/device/device.h"

namespace swath {

/// Parameters of one group share learning rate and weight decay (methods.md §3).
enum class ParameterGroup : std::uint8_t { backbone, head, beta, regressor };
constexpr int kParameterGroups = 4;
const char* name_of(ParameterGroup group);

enum class Trainable : std::uint8_t { no, yes };

/// Fills host memory with initial values.
using Initializer = std::function<void(float* values, const Shape& shape)>;

/// A contiguous range of the flat arrays, in elements.
struct ParameterRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
  bool operator==(const ParameterRange&) const = default;
};

class ParameterBlock;

struct Parameter {
  /// Where it was declared.
  const ParameterBlock* block = nullptr;
  std::string name;
  Shape shape;
  ParameterGroup group;
  Trainable trainable = Trainable::yes;
  Tensor value;
  /// Where a backward pass writes; ParameterBlock::gradient_of() reads what came of it.
  Tensor grad;
  /// Place in the flat arrays, padding included.
  ParameterRange place;
  /// Whether this step's backward has written `grad`; the first writer overwrites, later ones accumulate.
  bool grad_written = false;
  /// How often it has.
  int grad_writes = 0;

  /// Its part of a flat array of the block's, without the padding.
  Tensor part_of(const Tensor& flat) const { return flat.rows(place.begin, place.begin + shape.numel()).view(shape); }
  /// For a kernel that writes this gradient: skip, overwrite or accumulate; marks it written.
  GradMode grad_mode();
};

/// State that is not trained (running statistics).
struct Buffer {
  std::string name;
  Shape shape;
  Tensor value;
};

/// trained: initial values and gradients. copy: neither; the values come from another block and are zero until then.
enum class BlockUse : std::uint8_t { trained, copy };

class ParameterBlock {
 public:
  ParameterBlock() = default;
  ParameterBlock(const ParameterBlock&) = delete;
  ParameterBlock& operator=(const ParameterBlock&) = delete;

  /// Declares a parameter; memory comes with allocate(). The reference stays valid. Throws UserError for a name used twice.
  Parameter& declare(const std::string& name, Shape shape, ParameterGroup group, Initializer init);
  Buffer& declare_buffer(const std::string& name, Shape shape, Initializer init);

  /// Lays out values and gradients group by group, convolutions' weights behind the other parameters of their group, each
  /// parameter aligned to 256 bytes, and initialises them.
  void allocate(Device& device, BlockUse use = BlockUse::trained);

  Device& device() const { return *device_; }
  std::deque<Parameter>& parameters() { return parameters_; }
  const std::deque<Parameter>& parameters() const { return parameters_; }
  std::deque<Buffer>& buffers() { return buffers_; }
  const std::deque<Buffer>& buffers() const { return buffers_; }
  Parameter* find(const std::string& name);
  const Parameter* find(const std::string& name) const;
  Buffer* find_buffer(const std::string& name);
  const Buffer* find_buffer(const std::string& name) const;

  /// All values (padding included, zero); likewise gradients (not of a copy) and buffers. Shape {n}.
  const Tensor& values() const { return values_; }
  const Tensor& grads() const { return grads_; }
  const Tensor& buffer_values() const { return buffer_values_; }
  ParameterRange range(ParameterGroup group) const { return ranges_[static_cast<std::size_t>(group)]; }
  /// Number of trained values, padding left out.
  std::int64_t count() const;

  /// The parameters in the order of the flat arrays.
  std::vector<Parameter*> in_order();

  /// After allocate(): gradients of convolutions' weights are of the type in which a backend gives them (conv_weight_type()),
  /// in a flat array of their own that is indexed as the others; a second gradient of a step is rounded to it again. Nothing
  /// changes for float32.
  void keep_low_precision_grads(DType type);
  /// Converts such gradients of a range to float32 in grads(), where their sum over ranks is made; until the next step they are
  /// what grads_of() tells.
  void widen_grads(const ParameterRange& range);
  /// The flat array that holds a parameter's gradient after a backward pass, and the gradient.
  const Tensor& grads_of(const Parameter& parameter) const;
  Tensor gradient_of(const Parameter& parameter) const;

  /// Before a backward pass: no gradient is written yet.
  void begin_step();
  /// After it: gradients of trained parameters that nothing wrote are zero. Those of frozen ones always are.
  void end_backward();

 private:
  Device* device_ = nullptr;
  std::deque<Parameter> parameters_;
  std::deque<Buffer> buffers_;
  std::vector<Initializer> inits_, buffer_inits_;
  std::vector<ParameterRange> ranges_ = std::vector<ParameterRange>(kParameterGroups);
  Tensor values_, grads_, buffer_values_;
  Tensor low_precision_grads_;  // undefined unless they are kept
  bool widened_ = false;
};

}  // namespace swath
