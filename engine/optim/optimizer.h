// Adam, AdamW and SGD over the flat parameter block (methods.md §3), each in one launch for eight stretches of trained
// parameters.
#pragma once
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "engine/nn/parameter.h"
#include "engine/optim/loss_scale.h"
#include "engine/optim/step_scalars.h"

namespace swath {

struct GroupOptions {
  float lr = 1e-5f;
  double weight_decay = 0;
  template <class V>
  void fields(V& v) {
    v("lr", lr, "learning rate", Range{0, 10});
    v("weight_decay", weight_decay, "weight decay", Range{0, 10});
  }
};

struct OptimizerOptions {
  std::string kind = "adam";
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  float momentum = 0.9f;
  GroupOptions backbone{1e-5f, 1e-4};
  GroupOptions head{1e-5f, 1e-4};
  GroupOptions beta{5e-4f, 0};
  GroupOptions regressor{1e-5f, 0};

  const GroupOptions& group(ParameterGroup group) const;

  template <class V>
  void fields(V& v) {
    v("kind", kind, "adam (coupled weight decay, as PyTorch's Adam), adamw or sgd", OneOf{{"adam", "adamw", "sgd"}});
    v("beta1", beta1, "decay of Adam's first moment", Range{0, 0.9999999});
    v("beta2", beta2, "decay of Adam's second moment", Range{0, 0.9999999});
    v("eps", eps, "added to Adam's denominator", Range{1e-30, 1});
    v("momentum", momentum, "momentum of SGD", Range{0, 1});
    v("backbone", backbone, "the convolutional trunk");
    v("head", head, "the linear heads");
    v("beta", beta, "β of the margin and binomial losses");
    v("regressor", regressor, "regressors of the adversarial loss and the BCE layer");
  }
};

class Optimizer {
 public:
  /// Holds the moments of every parameter of `block`, which must be allocated and outlive the optimiser.
  Optimizer(ParameterBlock& block, OptimizerOptions options);

  /// Applies the gradients with the learning rates and the step number of `scalars`; frozen parameters stay. With a loss scale
  /// all stay where it found a gradient that is not finite, and the updates that were made are counted, not the steps.
  void step(const StepScalars& scalars, const LossScale* scale = nullptr);

  /// Moments in the order of the flat block: m and v of Adam; the momentum buffer (and none) of SGD.
  Tensor& first_moment() { return first_; }
  Tensor& second_moment() { return second_; }
  /// The moments by parameter: optim.m.<name> and, of Adam, optim.v.<name>.
  void visit_state(StateVisitor& visitor);
  const OptimizerOptions& options() const { return options_; }

 private:
  /// Trained parameters of one group that lie side by side, as do their gradients.
  struct Stretch {
    ParameterGroup group;
    ParameterRange range;
    const Tensor* grads;
  };
  std::vector<Stretch> trained_stretches() const;

  ParameterBlock& block_;
  OptimizerOptions options_;
  Tensor first_, second_;
};

}  // namespace swath
