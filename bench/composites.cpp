#include "bench/composites.h"

#include "engine/autograd/nn_ops.h"
#include "engine/nn/init.h"
#include "kernels/label_mask.h"
#include "losses/adversarial.h"
#include "losses/binomial.h"
#include "losses/margin.h"
#include "losses/moco.h"
#include "losses/nca.h"
#include "losses/weight_norm.h"

namespace swath::bench {

namespace {

Tensor rows_tensor(Arena& arena, std::int64_t rows, std::int64_t cols, float* values) {
  return Tensor::borrow(arena.device(), {rows, cols}, DType::f32, values);
}

template <class T>
Tensor vector_tensor(Arena& arena, std::int64_t count, T* values) {
  return Tensor::borrow(arena.device(), {count}, DTypeOf<T>::value, values);
}

Job mine_job(Arena& arena, const Sizes& sizes, const std::string& name) {
  constexpr std::int64_t kClasses = 43;
  const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
  MinerOptions options;
  options.name = name;
  const std::shared_ptr<Miner> miner = make_miner(options);
  const MineInput input{.rows = rows_tensor(arena, rows, cols, arena.unit_rows(rows, cols)),
                        .row_class = vector_tensor(arena, rows, arena.row_classes(rows, sizes["rows_per_class"])),
                        .row_count = vector_tensor(arena, 1, arena.put_one(static_cast<std::int32_t>(rows))),
                        .labels = Tensor::borrow(arena.device(), {rows, kernels::label_words(kClasses)}, DType::u64,
                                                 arena.label_masks(rows, kClasses)),
                        .random = {.seed = 1, .step = arena.put_one<std::uint64_t>(1)}};
  const double n = static_cast<double>(rows), width = static_cast<double>(cols);
  // The matrix of distances need not go through memory.
  const Cost cost{4 * (n * width + 4 * n), name == "intra_random" ? 0 : n * n * width, 0};
  return {cost, [miner, input] { miner->mine(input); }};
}

/// A loss on the tape with parameters of its own.
struct LossCall {
  explicit LossCall(Device& on) : device(on) {}

  /// After every parameter has been declared.
  void finish(const Tensor& values) {
    block.allocate(device);
    rows = values;
  }
  void run() {
    block.begin_step();
    Tape tape(device, Phase::train);
    input.rows = tape.input(rows);
    tape.backward(loss->forward(tape, input).loss);
    block.end_backward();
  }

  Device& device;
  ParameterBlock block;
  std::unique_ptr<Loss> loss;
  LossInput input;
  Tensor rows;
};

Job job_of(const std::shared_ptr<LossCall>& call, const Cost& cost) {
  return {cost, [call] { call->run(); }};
}

void set_classes(Arena& arena, LossCall& call, std::int64_t rows) {
  call.input.row_class = vector_tensor(arena, rows, arena.row_classes(rows));
  call.input.row_count = vector_tensor(arena, 1, arena.put_one(static_cast<std::int32_t>(rows)));
}

Job margin_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
  const auto call = std::make_shared<LossCall>(arena.device());
  call->loss = std::make_unique<MarginLoss>(call->block, MarginOptions{}, 1);
  set_classes(arena, *call, rows);
  call->input.triplets = {.indices = Tensor::borrow(arena.device(), {rows, 3}, DType::i32, arena.integers(3 * rows, rows)),
                          .count = call->input.row_count};
  call->finish(rows_tensor(arena, rows, cols, arena.unit_rows(rows, cols)));
  const double n = static_cast<double>(rows), width = static_cast<double>(cols);
  return job_of(call, {8 * n * width, 15 * n * width, 0});
}

Job binomial_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
  const auto call = std::make_shared<LossCall>(arena.device());
  call->loss = std::make_unique<BinomialLoss>(call->block, learner_widths(cols), BinomialOptions{});
  set_classes(arena, *call, rows);
  call->finish(rows_tensor(arena, rows, cols, arena.unit_parts(rows, learner_widths(cols))));
  const double n = static_cast<double>(rows), width = static_cast<double>(cols);
  return job_of(call, {8 * n * width, n * n * (3 * width + 150), 0});
}

Job adversarial_job(Arena& arena, const Sizes& sizes) {
  constexpr std::int64_t kHidden = 512;
  const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
  const std::vector<std::int64_t> widths = learner_widths(cols);
  const std::vector<AdversarialDirection> directions{{0, 1, 1e5f}, {0, 2, 1e5f}, {1, 2, 1e5f}};
  const auto call = std::make_shared<LossCall>(arena.device());
  call->loss = std::make_unique<AdversarialLoss>(call->block, widths, directions, kHidden, 1);
  set_classes(arena, *call, rows);
  call->finish(rows_tensor(arena, rows, cols, arena.unit_parts(rows, widths)));
  const double n = static_cast<double>(rows);
  double weights = 0;
  for (const AdversarialDirection& d : directions)
    weights += static_cast<double>(kHidden *
                                   (widths[static_cast<std::size_t>(d.source)] + widths[static_cast<std::size_t>(d.target)]));
  // Three products each way; weights are read and their gradients written.
  return job_of(call, {8 * n * static_cast<double>(cols) + 12 * weights, 6 * n * weights, 0});
}

/// R of three heads on 2,048 features and of the regressors between them, as BIER has it (methods.md §7).
class BierNorms : public Loss {
 public:
  BierNorms(ParameterBlock& block, std::int64_t cols) {
    constexpr std::int64_t kFeatures = 2048, kHidden = 512;
    const std::vector<std::int64_t> widths = learner_widths(cols);
    const auto declare = [&](Shape shape, ParameterGroup group) {
      const std::int64_t last = shape[shape.rank() - 1];
      const std::string name = fmt::format("layer{}", block.parameters().size());
      return &block.declare(name, shape, group, linear_init(1, name_hash(name), last));
    };
    const auto layer = [&](std::int64_t out, std::int64_t in) {
      return WeightNormLayer{declare({out, in}, ParameterGroup::regressor), declare({out}, ParameterGroup::regressor)};
    };
    std::vector<std::vector<WeightNormLayer>> heads, regressors;
    for (std::size_t k = 0; k < 3; ++k) {
      heads.push_back({{declare({widths[k], kFeatures}, ParameterGroup::head), nullptr}});
      for (std::size_t target = k + 1; target < 3; ++target)
        regressors.push_back({layer(kHidden, widths[k]), layer(widths[target], kHidden)});
    }
    of_heads_ = std::make_unique<WeightNormLoss>(heads);
    of_regressors_ = std::make_unique<WeightNormLoss>(regressors);
  }
  LossOutput forward(Tape& tape, const LossInput& input) override {
    return {add(tape, of_heads_->forward(tape, input).loss, of_regressors_->forward(tape, input).loss)};
  }

 private:
  std::unique_ptr<WeightNormLoss> of_heads_, of_regressors_;
};

Job weight_norm_job(Arena& arena, const Sizes& sizes) {
  const auto call = std::make_shared<LossCall>(arena.device());
  call->loss = std::make_unique<BierNorms>(call->block, sizes["cols"]);
  double weights = 0;
  for (const Parameter& p : call->block.parameters()) weights += static_cast<double>(p.shape.numel());
  call->finish(rows_tensor(arena, 1, 1, arena.unit_rows(1, 1)));
  return job_of(call, {12 * weights, 6 * weights, 0});
}

Job moco_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
  const auto call = std::make_shared<LossCall>(arena.device());
  const MocoOptions options{};
  auto loss = std::make_unique<MocoLoss>(arena.device(), options, rows, cols);
  set_classes(arena, *call, rows);
  for (std::int64_t batch = 0; batch < options.n_key_batches; ++batch)
    loss->push(rows_tensor(arena, rows, cols, arena.unit_rows(rows, cols)), call->input.row_count);
  call->loss = std::move(loss);
  call->input.keys = rows_tensor(arena, rows, cols, arena.unit_rows(rows, cols));
  call->finish(rows_tensor(arena, rows, cols, arena.unit_rows(rows, cols)));
  const double n = static_cast<double>(rows), width = static_cast<double>(cols), queue = 30 * n;
  return job_of(call, {4 * width * (3 * n + queue), 4 * n * queue * width, 0});
}

/// With the step of the bank.
Job nca_job(Arena& arena, const Sizes& sizes) {
  constexpr std::int64_t kClasses = 19;
  const std::int64_t rows = sizes["rows"], cols = sizes["cols"], bank = sizes["bank"];
  const auto call = std::make_shared<LossCall>(arena.device());
  const Tensor labels =
      Tensor::borrow(arena.device(), {bank, kernels::label_words(kClasses)}, DType::u64, arena.label_masks(bank, kClasses));
  call->loss =
      std::make_unique<NcaLoss>(arena.device(), NcaOptions{}, labels.to_host<std::uint64_t>().data(), bank, kClasses, cols, 1);
  call->input.index = vector_tensor(arena, rows, arena.integers(rows, bank));
  call->finish(rows_tensor(arena, rows, cols, arena.unit_rows(rows, cols)));
  const double n = static_cast<double>(rows), width = static_cast<double>(cols), all = static_cast<double>(bank);
  return {{all * (4 * width + 8) + 8 * n * width, 6 * n * all * width, 0}, [call] {
            call->run();
            call->loss->after_step();
          }};
}

}  // namespace

std::vector<std::int64_t> learner_widths(std::int64_t cols) {
  const std::int64_t first = cols * 3 / 16, second = cols * 5 / 16;
  return {first, second, cols - first - second};
}

std::vector<Benchmark> miner_benchmarks() {
  std::vector<Benchmark> list;
  for (const std::string& name : MinerOptions::miner_names()) {
    const Axis rows_per_class{.name = "rows_per_class", .values = {2}, .counted = 2};
    list.push_back({"mine." + name,
                    "the miner " + name + " from embeddings to triplets",
                    {rows_axis(), cols_axis(), rows_per_class},
                    [name](Arena& arena, const Sizes& sizes) { return mine_job(arena, sizes, name); },
                    true});
  }
  return list;
}

std::vector<Benchmark> loss_benchmarks() {
  const auto loss = [](const char* name, const char* what, auto make, std::int64_t low_cols) {
    Axis cols = cols_axis();
    cols.low = low_cols;
    return Benchmark{name, what, {rows_axis(), cols}, make, true};
  };
  // A learner of 3 / 16 of the columns needs one.
  Axis wide = cols_axis();
  wide.low = 6;
  return {loss("loss.margin", "margin loss, forward and backward", margin_job, 1),
          loss("loss.binomial", "boosted binomial deviance, forward and backward", binomial_job, 6),
          loss("loss.adversarial", "three regressors and their decorrelation, forward and backward", adversarial_job, 6),
          loss("loss.moco", "Fast MoCo with a queue of 30 batches, forward and backward", moco_job, 1),
          {"loss.weight_norm",
           "unit rows of three heads and of their regressors, forward and backward",
           {wide},
           weight_norm_job,
           true},
          {"loss.nca",
           "NCA with a memory bank, forward, backward and the step of the bank",
           {rows_axis({120}), {.name = "bank", .values = {269'695}, .counted = 500}, cols_axis({512})},
           nca_job,
           true}};
}

}  // namespace swath::bench
