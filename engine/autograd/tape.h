// Reverse-mode differentiation on a linear list of operations. What has no gradient is a Tensor, not a Var.
#pragma once
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/device/device.h"

namespace swath {

/// Whether batch norm and dropout act as in training, and whether gradients may be asked for.
enum class Phase : std::uint8_t { train, eval };

/// What a value of the tape is made from.
class ValueSource {
 public:
  virtual ~ValueSource() = default;
  /// The value; made when it is first asked for.
  virtual const Tensor& value() = 0;
};

/// A value on a tape and, when something before it wants a gradient, the slot in which that gradient is collected.
class Var {
 public:
  Var() = default;
  /// A value that no gradient flows through.
  explicit Var(Tensor value) : value_(std::move(value)) {}
  /// Of a deferred value: makes it.
  const Tensor& value() const { return deferred_ ? source_->value() : value_; }
  const Shape& shape() const { return value_.shape(); }
  DType dtype() const { return value_.dtype(); }
  bool needs_gradient() const { return slot_ >= 0; }

  /// From now on the value is `source`'s, and the tensor only tells its shape and type.
  void defer(std::shared_ptr<ValueSource> source) { source_ = std::move(source), deferred_ = true; }
  std::shared_ptr<ValueSource> deferred() const { return deferred_ ? source_ : nullptr; }
  /// An operation that needs the value in its backward pass keeps `source` instead, which makes it again.
  void remake(std::shared_ptr<ValueSource> source) { source_ = std::move(source), deferred_ = false; }
  std::shared_ptr<ValueSource> remade_by() const { return deferred_ ? nullptr : source_; }

 private:
  friend class Tape;
  Tensor value_;
  std::shared_ptr<ValueSource> source_;
  bool deferred_ = false;
  int slot_ = -1;
};

class Tape;
class Communicator;

/// Whose rows batch norm takes its statistics from: this rank's own, or the whole batch's.
enum class NormScope : std::uint8_t { rank, batch };

/// The batch that the rows of a tape are a slice of.
struct BatchShare {
  Communicator* ranks = nullptr;  // null: all rows are here
  std::int64_t rows = 0;          // of the whole batch, which every rank holds its Communicator::slice of
  NormScope norm = NormScope::rank;
};

/// Where a backward function puts the gradients of its inputs.
class InputGradients {
 public:
  /// Whether input i wants a gradient.
  bool needs(int i) const;
  /// Hands over the gradient of input i; the tensor must not be shared. Sums when there is one already.
  void add(int i, Tensor gradient);
  /// The sum of the gradients that input i has so far, which then has none; undefined where it has none.
  Tensor take(int i);

 private:
  friend class Tape;
  InputGradients(Tape& tape, const std::vector<int>& slots) : tape_(tape), slots_(slots) {}
  Tape& tape_;
  const std::vector<int>& slots_;
};

/// Takes the gradient of the operation's value, whose memory it may overwrite or pass on.
using Backward = std::function<void(Tensor d_value, InputGradients& inputs)>;
/// The same for an operation that sums up to two gradients itself; `more` is undefined when there is one.
using PairBackward = std::function<void(const Tensor& d_value, const Tensor& more, InputGradients& inputs)>;

class Tape {
 public:
  Tape(Device& device, Phase phase);

  Device& device() const { return device_; }
  Phase phase() const { return phase_; }
  bool training() const { return phase_ == Phase::train; }

  /// Before the first operation, when several ranks share the batch.
  void share(const BatchShare& share) { share_ = share; }
  const BatchShare& share() const { return share_; }
  /// Whether activations inside a block are made again in the backward pass instead of being kept for it.
  void remake(bool remakes) { remakes_ = remakes; }
  bool remakes() const { return remakes_; }
  /// Called after every operation of backward().
  void after_each(std::function<void()> call) { after_each_ = std::move(call); }

  /// A value whose gradient can be read with gradient() after backward().
  Var input(Tensor value);

  /// Appends an operation. `reaches_parameters` tells that the backward function writes gradients of parameters, so
  /// that it must run even if no input wants one. The backward function is dropped at once when nobody needs it.
  Var record(const char* op, Tensor value, std::initializer_list<Var> inputs, bool reaches_parameters, Backward backward);
  Var record(const char* op, Tensor value, const std::vector<Var>& inputs, bool reaches_parameters, Backward backward);
  /// The same for an operation whose backward function takes the value's first two gradients apart.
  Var record_pair(const char* op, Tensor value, const std::vector<Var>& inputs, bool reaches_parameters, PairBackward backward);

  /// Starts from d_output = 1 for a scalar.
  void backward(const Var& output);
  /// Starts from a given gradient. Walks from the end; each operation is freed as soon as it has run.
  void backward(const Var& output, Tensor d_output);

  /// The gradient collected for a Var made by input(); undefined when none reached it.
  Tensor gradient(const Var& var) const;

  /// A tensor that lives as long as the tape, undefined until the caller sets it: one for each owner.
  Tensor& kept(const void* owner) { return kept_[owner]; }

  /// While alive, recorded operations keep nothing and parameters get no gradient (frozen parts, evaluation).
  class NoGradient {
   public:
    explicit NoGradient(Tape& tape) : tape_(tape) { ++tape_.no_gradient_; }
    ~NoGradient() { --tape_.no_gradient_; }
    NoGradient(const NoGradient&) = delete;
    NoGradient& operator=(const NoGradient&) = delete;

   private:
    Tape& tape_;
  };
  bool gradients_enabled() const { return no_gradient_ == 0 && phase_ == Phase::train; }

 private:
  friend class InputGradients;
  struct Node {
    const char* op;
    const char* part;  // of a dry run's ledger
    int output;
    std::vector<int> inputs;
    PairBackward backward;
  };
  /// The gradients of one value; a second one is kept apart where its operation sums itself.
  struct Slot {
    Tensor gradient, second;
    bool takes_two = false;
  };
  void add_gradient(int slot, Tensor gradient);
  Tensor take_gradient(int slot);
  void sum_gradients(const Tensor& sum, const Tensor& gradient) const;
  int new_slot();
  void inspect(const char* op, const char* what, const Tensor& value) const;

  Device& device_;
  Phase phase_;
  BatchShare share_;
  std::function<void()> after_each_;
  bool remakes_ = false;
  int no_gradient_ = 0;
  std::vector<Node> nodes_;
  std::vector<Slot> slots_;
  std::map<const void*, Tensor> kept_;
};

}  // namespace swath
