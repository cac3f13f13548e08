#include "recipes/step.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "engine/core/log.h"
#include "engine/core/trace.h"
#include "engine/device/step_ledger.h"
#include "kernels/elementwise.h"
#include "kernels/statistics.h"

namespace swath {

namespace {

// Batches of ever new sizes would fill the memory with graphs that are hardly replayed.
constexpr std::size_t kMaxGraphs = 64;

bool may_capture(const Device& device, const TrainOptions& options) {
  return options.graph == "auto" && device.backend().captures() && !trace_switches().check_nan && !trace_switches().debug_tape;
}

}  // namespace

DType activation_type(const std::string& precision) {
  if (precision == "bf16") return DType::bf16;
  return precision == "fp16" ? DType::f16 : DType::f32;
}

BatchShare batch_share(Communicator& ranks, std::int64_t rows, const RankOptions& options) {
  if (ranks.alone()) return {};
  return {&ranks, rows, options.sync_batch_norm ? NormScope::batch : NormScope::rank};
}

TrainStep::TrainStep(Device& device, Recipe& recipe, ParameterBlock& block, Optimizer& optimizer, StepScalars& scalars,
                     const TrainOptions& options, const PackedSplit& split, Communicator& ranks)
    : device_(device),
      recipe_(recipe),
      block_(block),
      optimizer_(optimizer),
      scalars_(scalars),
      options_(options),
      split_(split),
      ranks_(ranks),
      crop_(crop_side(options.crop, split.image())),
      max_rows_(recipe.sampler().max_rows()),
      phase_(recipe.phase()) {
  names_ = {"loss"};
  for (const std::string& name : recipe.statistic_names()) names_.push_back(name);
  if (activation_type(options.precision) == DType::f16) {
    loss_scale_ = std::make_unique<LossScale>(device);
    names_.insert(names_.end(), {"loss_scale", "skipped_steps"});
  }
  SWATH_CHECK(static_cast<std::int64_t>(names_.size()) <= kernels::kStatisticsWidth);
  ring_ = Tensor::zeros(device, {options.run.log_every, kernels::kStatisticsWidth}, DType::f32, Tag::other);
  copies_ = device.backend().host_copies();
  if (!ranks.alone()) {
    buckets_ = std::make_unique<GradientBuckets>(block, ranks);
    statistics_before_ = block.buffer_values().clone(Tag::other);
  }
  block.keep_low_precision_grads(device.backend().conv_weight_type(activation_type(options.precision)));
  if (may_capture(device, options)) arena_ = std::make_unique<PoolArena>(device.pool());
}

void TrainStep::run(const Batch& batch) {
  SWATH_CHECK(static_cast<std::int64_t>(pending_.size()) < ring_.size(0), "the statistics were not drained");
  if (batch.n < ranks_.size())
    throw UserError(
        fmt::format("a batch of {} images leaves nothing to some of {} ranks; choose larger batches (sampler.*; "
                    "sampler.last=drop for shuffled ones) or fewer ranks",
                    batch.n, ranks_.size()));
  max_rows_ = std::max(batch.n, max_rows_);
  start_pixels(batch);
  finish();
  {
    const LedgerPass pass(device_.ledger(), "input");
    scalars_.upload();
    load(batch);
  }
  if (arena_) {
    replay({batch.n, batch.tag});
  } else {
    queue({batch.n, batch.tag});
  }
  pending_.push_back(scalars_.step());
  // The copy runs beside the step before this one, so the device has work while this waits.
  while (copies_ && !copies_->done()) std::this_thread::yield();
}

void TrainStep::start_pixels(const Batch& batch) {
  const LedgerPass pass(device_.ledger(), "input");
  const ImageSpec& image = split_.image();
  const std::int64_t rows = ranks_.slice(batch.n).size;
  if (!copies_) {
    input_.pixels = Tensor::borrow(device_, {rows, image.height, image.width, image.channels}, image.dtype,
                                   const_cast<void*>(batch.pixels));
    return;
  }
  if (!input_.pixels.defined() || input_.pixels.size(0) < rows) {
    drop_graphs();
    for (Tensor* pixels : {&input_.pixels, &input_.next})
      *pixels = Tensor::empty(device_, {slice_of(max_rows_, 0, ranks_.size()).size, image.height, image.width, image.channels},
                              image.dtype, Tag::input);
    copies_->release();
  }
  const Tensor next = input_.next.rows(0, rows);
  copies_->copy(next.raw(), batch.pixels, next.bytes());
}

void TrainStep::load(const Batch& batch) {
  if (copies_) {
    const std::int64_t rows = ranks_.slice(batch.n).size;
    copies_->acquire();
    input_.pixels.rows(0, rows).copy_from(input_.next.rows(0, rows));
    copies_->release();
  }
  if (!input_.labels.defined() || input_.labels.size(0) < batch.n) {
    drop_graphs();
    input_.labels = Tensor::empty(device_, {max_rows_, split_.labels().words()}, DType::u64, Tag::input);
    if (recipe_.needs_index()) input_.index = Tensor::empty(device_, {max_rows_}, DType::i32, Tag::input);
  }
  input_.labels.rows(0, batch.n).copy_from_host(batch.labels);
  if (!recipe_.needs_index()) return;
  index_.assign(batch.rows, batch.rows + batch.n);
  input_.index.rows(0, batch.n).copy_from_host(index_.data());
}

void TrainStep::queue(const StepShape& shape) {
  under_way_ = true;
  const Objective objective = queue_gradients(shape);
  ranks_.settle();
  queue_update(objective);
  under_way_ = false;
}

void TrainStep::finish() {
  if (!owed_) return;
  ranks_.settle();
  std::exchange(owed_, nullptr)->launch();
  under_way_ = false;
}

bool TrainStep::take_back() {
  if (!std::exchange(under_way_, false) || !buckets_) return false;
  block_.buffer_values().copy_from(statistics_before_);
  if (!std::exchange(owed_, nullptr)) return false;
  pending_.pop_back();
  return true;
}

Objective TrainStep::queue_gradients(const StepShape& shape) {
  if (buckets_) statistics_before_.copy_from(block_.buffer_values());
  const RowSlice mine = ranks_.slice(shape.rows);
  const RandomKey random{options_.seed, scalars_.step_pointer(), mine.begin};
  DeviceBatch batch;
  batch.views = BatchViews(split_.image(), input_.pixels.rows(0, mine.size),
                           {.crop = crop_, .type = activation_type(options_.precision)});
  {
    const LedgerPass pass(device_.ledger(), "input");
    batch.images = batch.views.make({.mode = AugmentMode::train}, random);
  }
  batch.labels = input_.labels.rows(0, shape.rows);
  if (recipe_.needs_index()) batch.index = input_.index.rows(0, shape.rows);
  batch.tag = shape.tag;
  batch.random = random;

  Tape tape(device_, Phase::train);
  tape.remake(options_.recompute == "activations");
  if (buckets_) tape.share(batch_share(ranks_, shape.rows, options_.ranks));
  block_.begin_step();
  const Objective objective = forward(tape, batch);
  batch.images = {};
  backward(tape, objective, shape);
  return objective;
}

void TrainStep::queue_update(const Objective& objective) {
  update();
  report(objective);
}

/// A row of the ring: the loss, the recipe's statistics, and those of the loss scale.
void TrainStep::report(const Objective& objective) {
  kernels::PushStatisticsArgs push{.step = scalars_.step_pointer(), .ring = ring_.data<float>(), .capacity = ring_.size(0)};
  push.values[0] = objective.loss.value().data<float>();
  const std::size_t given = objective.statistics.size();
  SWATH_CHECK(given + (loss_scale_ ? 3 : 1) == names_.size());
  for (std::size_t i = 0; i < given; ++i) {
    const Tensor& statistic = objective.statistics[i].second;
    if (statistic.dtype() == DType::i32) {
      push.counts[i + 1] = statistic.data<std::int32_t>();
    } else {
      push.values[i + 1] = statistic.data<float>();
    }
  }
  if (loss_scale_) {
    push.values[given + 1] = loss_scale_->scale();
    push.counts[given + 2] = loss_scale_->skipped_steps();
  }
  const LedgerPass pass(device_.ledger(), "after");
  device_.run([&](auto exec) { kernels::push_statistics(push, exec); });
}

Objective TrainStep::forward(Tape& tape, const DeviceBatch& batch) {
  const LedgerPass pass(device_.ledger(), "forward");
  const LedgerPart part(device_.ledger(), "loss");
  return recipe_.objective(tape, batch);
}

// Every rank computes the loss of the whole batch. The mean of these losses is the same loss; its gradient is the sum of what
// the ranks contribute, whether each contributes a part (the trunk, behind the gathered embeddings) or an equal share (what is
// computed on gathered rows).
void TrainStep::backward(Tape& tape, const Objective& objective, const StepShape& shape) {
  const LedgerPass pass(device_.ledger(), "backward");
  const LedgerPart part(device_.ledger(), "loss");
  const auto from = [&](const Var& loss) {
    if (loss_scale_) return tape.backward(loss, loss_scale_->seed());
    tape.backward(loss);
  };
  if (!buckets_) {
    from(objective.loss);
    block_.end_backward();
    return;
  }
  const float share = 1.0f / static_cast<float>(ranks_.size());
  const bool own_statistics = !options_.ranks.sync_batch_norm;
  buckets_->begin(static_cast<std::uint64_t>(shape.tag) | recipe_.phase() << 32);
  if (own_statistics) ranks_.start_all_reduce(block_.buffer_values());
  tape.after_each([this] { buckets_->advance(); });
  from(scale(tape, objective.loss, share));
  buckets_->finish();
  block_.end_backward();
  if (!own_statistics) return;
  const Tensor& buffers = block_.buffer_values();
  const kernels::ScaleArgs mean{.n = buffers.numel(), .x = buffers.raw(), .out = buffers.raw(), .factor = share};
  device_.run([&](auto exec) { kernels::scale(mean, exec); });
}

void TrainStep::update() {
  {
    const LedgerPass pass(device_.ledger(), "optimizer");
    if (loss_scale_) loss_scale_->check(block_);
    optimizer_.step(scalars_, loss_scale_.get());
  }
  const LedgerPass pass(device_.ledger(), "after");
  recipe_.after_step();
}

void TrainStep::replay(const StepShape& shape) {
  if (recipe_.phase() != phase_) {
    drop_graphs();
    phase_ = recipe_.phase();
  }
  const auto found = graphs_.find(shape);
  if (found == graphs_.end()) return warm_up(shape);
  Recorded& recorded = found->second;
  // Where that fails, `recorded` is gone.
  if (!recorded.step && !capture(shape, recorded)) return queue(shape);
  under_way_ = true;
  recorded.step->launch();
  owed_ = recorded.update.get();
  under_way_ = owed_ != nullptr;
}

// The first step of a shape makes plans, loads code and takes the memory that its graph will use.
void TrainStep::warm_up(const StepShape& shape) {
  const ArenaScope scope(*arena_);
  queue(shape);
  if (graphs_.size() < kMaxGraphs) {
    graphs_.emplace(shape, Recorded{});
  } else if (!warned_) {
    log::warn("batches have more than {} shapes; further ones run without a graph", kMaxGraphs);
    warned_ = true;
  }
}

bool TrainStep::capture(const StepShape& shape, Recorded& recorded) {
  Backend& backend = device_.backend();
  try {
    const ArenaScope scope(*arena_);
    std::optional<Objective> objective;
    std::unique_ptr<DeviceGraph> step = backend.capture([&] {
      objective = queue_gradients(shape);
      if (ranks_.alone()) queue_update(*objective);
    });
    if (!ranks_.alone()) recorded.update = backend.capture([&] { queue_update(*objective); });
    objective.reset();
    if (scope.live() > 0) throw InternalError("a tensor made in the step outlives it");
    recorded.step = std::move(step);
    return true;
  } catch (const RankError&) {
    throw;
  } catch (const std::exception& e) {
    log::warn("the training step cannot be recorded as a graph and runs without one: {}", e.what());
  }
  drop_graphs();
  arena_.reset();
  return false;
}

const DeviceGraph* TrainStep::graph(const StepShape& shape) const {
  const auto found = graphs_.find(shape);
  return found == graphs_.end() ? nullptr : found->second.step.get();
}

const DeviceGraph* TrainStep::update_graph(const StepShape& shape) const {
  const auto found = graphs_.find(shape);
  return found == graphs_.end() ? nullptr : found->second.update.get();
}

void TrainStep::drop_graphs() {
  finish();
  graphs_.clear();
}

std::vector<StepStatistics> TrainStep::drain() {
  std::vector<StepStatistics> drained;
  if (pending_.empty()) return drained;
  finish();
  const std::vector<float> values = ring_.to_host<float>();
  const auto capacity = static_cast<std::uint64_t>(ring_.size(0));
  for (const std::uint64_t step : pending_) {
    const float* row = values.data() + (step % capacity) * kernels::kStatisticsWidth;
    drained.push_back({step, std::vector<float>(row, row + names_.size())});
  }
  pending_.clear();
  return drained;
}

}  // namespace swath
