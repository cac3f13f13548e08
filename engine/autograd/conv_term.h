// The parts of the convolution blocks (conv_block.h): one convolution with its normalisation, and a block's result, which can
// be made again, or later, from what the convolutions gave.
#pragma once
#include <memory>
#include <optional>

#include "engine/autograd/conv_block.h"

namespace swath {

class NormResult;

/// A convolution's input and output, with what normalises the output; the backward pass needs all of it.
struct ConvTerm {
  ConvNorm layer;
  ConvGeometry geometry;
  Tensor weights;
  Tensor x = {};                            // undefined: `source` normalises its result into it
  std::shared_ptr<NormResult> source = {};  // the block whose result x is, where this convolution has to know
  bool masks = false;                       // whether the data gradient is masked and summed for `source`
  Tensor y = {}, mean = {}, invstd = {};
  Tensor scale = {}, bias = {};  // with a fused normalisation: its affine form in y's type
  BatchShare share = {};         // ranks null: normalised with the rows that are here

  std::int64_t channels() const { return geometry.k; }
  std::int64_t rows() const { return y.numel() / geometry.k; }
  bool trains() const { return layer.weight->trainable == Trainable::yes || layer.norm.weight->trainable == Trainable::yes; }
  kernels::NormTerm normal() const;
  GatheredNorm gathered(const Tensor& sums) const;
  /// Where a joined normalisation first leaves its parameters' gradients; undefined for another.
  Tensor own_sums() const { return share.ranks ? Tensor::empty(y.device(), {2, channels()}) : Tensor(); }
  /// Where the gradients go: to own_sums(), or to the parameters, which this marks as written.
  kernels::NormGradient gradient(const Tensor& d_y, const Tensor& own) const;
  /// After a backward pass over the rows that are here.
  void join(const Tensor& own, const Tensor& d_y) const;
};

/// activation(norm(main) + residual), or + norm(shortcut), or alone.
class NormResult final : public ValueSource {
 public:
  ConvTerm main;
  std::optional<ConvTerm> shortcut = {};
  Tensor residual = {};  // with a fused normalisation only
  bool has_residual = false;
  bool reads_twice = false;  // residual or shortcut read what the main convolution reads
  kernels::Activation activation = kernels::Activation::none;
  bool training = true, differentiates = true;
  bool pooled = false;  // main.y holds the maxima of what was normalised
  Tensor mask = {};     // one bit per element, where ReLU's mask cannot be recomputed
  /// Row sums of the backward pass where a convolution has gathered them: then the result's gradient is masked already.
  Tensor sums = {}, shortcut_sums = {};

  bool joins() const { return shortcut || has_residual; }
  /// Computes the result.
  Tensor make(const Tensor& residual_value);
  /// The result, computed where no convolution has stored it.
  const Tensor& value() override;
  /// Whether nothing has read the result yet, and whether it is stored.
  bool unread() const { return !read_; }
  bool stored() const { return value_.defined(); }
  /// What a convolution takes that normalises this result itself; where there is a residual, it stores the result for others.
  InputNorm input_norm();
  OutputMask output_mask();

 private:
  bool read_ = false;
  Tensor value_;
};

enum class Gather : std::uint8_t { never, where_fused };

/// The convolution and, in training, the statistics of its result.
ConvTerm convolve(Tape& tape, const Var& x, const ConvNorm& layer, Gather gather = Gather::where_fused);
/// The convolution's own gradients, from that of its result.
void convolve_backward(const ConvTerm& term, const Tensor& d_y, InputGradients& gradients, int input);

/// The affine form, where a convolution that does not gather sums comes before ones that normalise their input.
void make_affine(Device& device, ConvTerm& term);

}  // namespace swath
