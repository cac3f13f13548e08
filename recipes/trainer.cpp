#include "recipes/trainer.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/loader.h"
#include "engine/core/log.h"
#include "engine/io/file.h"
#include "engine/optim/schedule.h"
#include "kernels/nonfinite.h"
#include "models/pretrained.h"
#include "recipes/run_timing.h"
#include "recipes/tracking/tracker.h"
#include "recipes/validation.h"

namespace swath {

namespace {

constexpr const char* kOverlap = "overlap";

}  // namespace

struct Trainer::Impl {
  Device& device;
  const TrainOptions& options;
  const PackedSet& data;
  RunDir& run_dir;
  Communicator& ranks;
  ParameterBlock block;
  std::unique_ptr<Recipe> recipe;
  std::unique_ptr<Optimizer> optimizer;
  StepScalars scalars;
  std::unique_ptr<TrainStep> step;
  Loader loader;

  // Where the run stands; all of it is in a checkpoint.
  std::uint64_t steps_done = 0;
  std::int64_t epoch = 0;
  std::int64_t batch = 0;
  double best_recall = -1;
  std::int64_t best_epoch = -1;
  std::int64_t validated_epoch = -1;  // the last that was validated, 0 for the untrained network
  std::string validated_part;         // the split that best_recall was measured on
  std::uint64_t train_checksum = 0;   // PackedSplit::content_checksum of the training split

  std::int64_t batch_before = 0;  // before the last step
  std::optional<Tracker> tracker;
  std::optional<RunTiming> timing;  // while it runs
  TrainHooks hooks;
  TrainResult result;
  double started = 0, reported = 0, waited = 0, waited_before_step = 0;
  std::int64_t images_since_report = 0;
  std::uint64_t first_step = 0;
  double last_loss = 0;

  Impl(Device& on, const TrainOptions& with, const PackedSet& from, RunDir& into, Communicator& of)
      : device(on),
        options(with),
        data(from),
        run_dir(into),
        ranks(of),
        scalars(on),
        loader(from.train, {.rank = of.rank(), .ranks = of.size(), .allocator = on.backend().host_allocator()}) {
    require_equal_ranks();
    run_dir.checkpoints().set_keep(options.run.keep);
    validated_part = options.validation.part;
    train_checksum = data.train.content_checksum();
    recipe = make_recipe({device, block, options, data.train, ranks});
    block.allocate(device);
    if (!options.model.pretrained.empty() && run_dir.checkpoints().empty())
      load_pretrained(block, options.model.pretrained, {.copy_weights = options.model.copy_weights});
    optimizer = std::make_unique<Optimizer>(block, options.optimizer);
    step = std::make_unique<TrainStep>(device, *recipe, block, *optimizer, scalars, options, data.train, ranks);
    require_enough_images(options.validation, data);
    check_tracking(options.tracking);
    if (block.count() == 0)
      throw UserError(
          "nothing is trained: model.frozen, model.penultimate and margin.beta_trainable leave no parameter; change one");
    resume();
  }

  void visit_state(StateVisitor& visitor) {
    for (Parameter& p : block.parameters()) visitor.tensor("model." + p.name, p.value);
    for (Buffer& b : block.buffers()) visitor.tensor("model." + b.name, b.value);
    optimizer->visit_state(visitor);
    step->visit_state(visitor);
    visitor.scalar("steps_done", steps_done);
    visitor.scalar("epoch", epoch);
    visitor.scalar("batch", batch);
    visitor.scalar("best_recall", best_recall);
    visitor.scalar("best_epoch", best_epoch);
    visitor.scalar("validated_epoch", validated_epoch);
    visitor.scalar("validated_part", validated_part);
    visitor.scalar("train_checksum", train_checksum);
    recipe->visit_state(visitor);
  }

  CheckpointInfo info() const {
    CheckpointInfo made;
    made.step = static_cast<std::int64_t>(steps_done);
    made.config = config_to_json(options).dump();
    made.classes = data.train.class_names();
    made.bands = data.train.image().bands;
    made.ranks = ranks.size();
    return made;
  }

  void require_equal_ranks() {
    if (ranks.alone()) return;
    require_agreement(ranks, "a configuration", config_to_json(options).dump());
    if (!ranks.serves(device)) throw UserError("these ranks do not serve a GPU; join their devices, or train on the CPU");
    for (const auto& [name, split] : {std::pair{"training", &data.train}, {"validation", &data.val}, {"test", &data.test}})
      require_agreement(ranks, fmt::format("{} images or labels", name), fmt::format("{:016x}", split->content_checksum()));
  }

  // Without statistics in common, the ranks' number decides what a batch is normalised with.
  void require_ranks_of(const CheckpointInfo& found) const {
    if (found.ranks == ranks.size() || options.ranks.sync_batch_norm) return;
    throw UserError(fmt::format(
        "the run {} was trained by {} ranks and not by {}, and without ranks.sync_batch_norm another number changes what "
        "is computed; start as many ranks",
        run_dir.path().string(), found.ranks, ranks.size()));
  }

  void resume() {
    CheckpointStore& checkpoints = run_dir.checkpoints();
    // Rank 0 sets a damaged file aside before the others look.
    if (!ranks.leads()) ranks.barrier();
    std::optional<CheckpointInfo> found;
    if (!checkpoints.empty())
      found = checkpoints.load_latest([this](StateVisitor& visitor) { visit_state(visitor); },
                                      ranks.leads() ? CheckpointStore::Damaged::set_aside : CheckpointStore::Damaged::left);
    if (ranks.leads()) ranks.barrier();
    require_agreement(ranks, "a newest checkpoint", found ? fmt::format("step {}", steps_done) : "none");
    if (!found) {
      if (ranks.leads()) run_dir.log().clear();
      return;
    }
    recipe->spread_state();
    require_ranks_of(*found);
    require_same_names(found->classes, data.train.class_names(), "the classes of the checkpoint and of the packed data");
    require_same_names(found->bands, data.train.image().bands, "the bands of the checkpoint and of the packed data");
    if (train_checksum != data.train.content_checksum())
      throw UserError(
          fmt::format("{} holds other training images or labels than the run {} was started with; give its data.packed, or "
                      "start a new run",
                      data.train.path(), run_dir.path().string()));
    if (validated_part != options.validation.part) {
      log::warn("validation.part was {} and is now {}; the best checkpoint is chosen anew", validated_part,
                options.validation.part);
      validated_part = options.validation.part;
      best_recall = -1;
      best_epoch = -1;
    }
    if (ranks.leads()) run_dir.log().truncate(steps_done, validated_epoch);
    for (const MetricRecord& record : run_dir.log().read()) recall_validation(record);
    result.best_checkpoint = checkpoints.best();
    result.last_checkpoint = checkpoints.latest();
    if (epoch < options.epochs) log::info("resuming {} at epoch {}, step {}", run_dir.path().string(), epoch + 1, steps_done);
  }

  // A continued run reports what its earlier part has measured on the split that chooses the best.
  void recall_validation(const MetricRecord& record) {
    if (record.group != options.validation.part) return;
    ValidationReport made{.epoch = record.epoch, .step = record.step, .part = record.group, .table = {}, .overlap = {}};
    made.best = record.epoch == best_epoch;
    for (const auto& [name, value] : record.values) {
      if (name == kOverlap) made.overlap = value;
      const std::size_t at = name.find('@');
      if (at == std::string::npos) continue;
      const std::int64_t k = std::stoll(name.substr(at + 1));
      if (std::find(made.table.ks.begin(), made.table.ks.end(), k) == made.table.ks.end()) made.table.ks.push_back(k);
      const std::string metric = name.substr(0, at);
      if (made.table.rows.empty() || made.table.rows.back().first != metric) made.table.rows.push_back({metric, {}});
      made.table.rows.back().second.push_back(value);
    }
    keep(made);
  }

  void keep(const ValidationReport& made) {
    (made.epoch == 0 ? result.untrained : result.last) = made;
    if (made.best) result.best = made;
  }

  // The loss of a step is computed before its update: weights may have become infinite since.
  void require_sound_state() {
    const Tensor count = Tensor::zeros(device, {1}, DType::i32, Tag::other);
    for (const Tensor& values :
         {block.values(), block.buffer_values(), optimizer->first_moment(), optimizer->second_moment()}) {
      const kernels::NonfiniteArgs args{.n = values.numel(), .x = values.raw(), .count = count.data<std::int32_t>()};
      device.run([&](auto exec) { kernels::nonfinite(args, exec); });
    }
    if (const std::int32_t bad = count.to_host<std::int32_t>()[0]; bad > 0)
      throw NanError(
          fmt::format("{} values of the weights or moments are not finite after step {}; the last checkpoint stays, lower "
                      "optimizer.*.lr and resume from it",
                      bad, steps_done));
  }

  // Sums over ranks have the same bits on all of them, so their weights have too.
  void require_equal_weights() {
    if (ranks.alone()) return;
    const std::vector<float> values = block.values().to_host<float>();
    const std::uint64_t mine = checksum(values.data(), values.size() * sizeof(float));
    std::vector<std::uint64_t> all(static_cast<std::size_t>(ranks.size()));
    ranks.all_gather(&mine, sizeof mine, all.data());
    for (std::size_t r = 1; r < all.size(); ++r)
      if (all[r] != all[0]) throw InternalError(fmt::format("the weights of rank {} are not those of rank 0", r));
  }

  void save() {
    const ActivityTimer timer(*timing, Activity::checkpoints);
    require_sound_state();
    require_equal_weights();
    recipe->gather_state();
    if (ranks.leads()) write_checkpoint();
    recipe->drop_gathered();
  }

  void write_checkpoint() {
    result.last_checkpoint = run_dir.checkpoints().save(info(), [this](StateVisitor& visitor) { visit_state(visitor); });
  }

  /// Whether any rank was asked to stop; all ranks ask at the same places.
  bool stop_requested() { return ranks.any(hooks.stop && hooks.stop->load(std::memory_order_relaxed)); }

  void drain() {
    const ActivityTimer timer(*timing, Activity::step);
    for (const StepStatistics& statistics : step->drain()) {
      MetricRecord record{"train", statistics.step + 1, epoch + 1, {}, 0};
      for (std::size_t i = 0; i < statistics.values.size(); ++i)
        record.values.emplace_back(step->names()[i], static_cast<double>(statistics.values[i]));
      record.values.emplace_back("learning_rate", static_cast<double>(scalars.learning_rate(ParameterGroup::backbone)));
      last_loss = static_cast<double>(statistics.values[0]);
      if (!std::isfinite(last_loss))
        throw NanError(
            fmt::format("the loss is {} at step {}; lower optimizer.*.lr, or find the operation with SWATH_CHECK_NAN=1",
                        last_loss, statistics.step));
      if (tracker) tracker->write(std::move(record));
    }
  }

  void report(std::int64_t batches) {
    if (!hooks.progress) return;
    const double now = steady_seconds(), waiting = loader.seconds_waiting();
    const double span = std::max(1e-9, now - reported);
    const double all = static_cast<double>(options.epochs * batches);
    const auto here = static_cast<double>(steps_done - first_step);
    const double left = all - static_cast<double>(epoch * batches + batch);
    hooks.progress({.epoch = epoch,
                    .epochs = options.epochs,
                    .batch = batch,
                    .batches = batches,
                    .step = steps_done,
                    .loss = last_loss,
                    .images_per_second = static_cast<double>(images_since_report) / span,
                    .waiting_share = (waiting - waited) / span,
                    .seconds = now - started,
                    .eta_seconds = here > 0 ? (now - started) / here * std::max(0.0, left) : 0,
                    .memory_bytes = device.pool()->reserved()});
    reported = now;
    waited = waiting;
    images_since_report = 0;
  }

  void save_and_stop() {
    drain();
    loader.finish();
    save();
    throw Preempted(
        fmt::format("stopped on request after step {}; continue with --resume {}", steps_done, run_dir.path().string()));
  }

  void run_step(const Batch& next) {
    timing->add(Activity::waiting, loader.seconds_waiting() - waited_before_step);
    waited_before_step = loader.seconds_waiting();
    const ActivityTimer timer(*timing, Activity::step);
    scalars.set_step(steps_done);
    step->run(next);
    ++steps_done;
    timing->count_step(next.n);
  }

  void train_epoch() {
    for (int group = 0; group < kParameterGroups; ++group) {
      const auto g = static_cast<ParameterGroup>(group);
      scalars.set_learning_rate(g, static_cast<float>(static_cast<double>(options.optimizer.group(g).lr) *
                                                      schedule_factor(options.schedule, epoch, options.epochs)));
    }
    {
      const ActivityTimer timer(*timing, Activity::preparation);
      recipe->begin_epoch(epoch);
    }
    Sampler& sampler = recipe->sampler();
    sampler.set_state({epoch, batch});
    loader.start(sampler);
    while (const Batch* next = loader.next()) {
      run_step(*next);
      batch_before = std::exchange(batch, next->next.batch);
      images_since_report += next->n;
      if (steps_done % static_cast<std::uint64_t>(options.run.log_every) == 0) {
        drain();
        report(sampler.batches_per_epoch());
      }
      if (stop_requested()) save_and_stop();
    }
    loader.finish();
    drain();
    if (images_since_report > 0) report(sampler.batches_per_epoch());
    ++epoch;
    batch = 0;
  }

  void log_scores(const ValidationReport& made) {
    MetricRecord record{made.part, made.step, made.epoch, {}, 0};
    for (const auto& [name, values] : made.table.rows)
      for (std::size_t i = 0; i < values.size(); ++i)
        record.values.emplace_back(fmt::format("{}@{}", name, made.table.ks[i]), values[i]);
    if (made.overlap) record.values.emplace_back(kOverlap, *made.overlap);
    if (tracker) tracker->write(std::move(record));
  }

  // Everything is scored before anything is written: a stop in between leaves no half of a validation.
  void validate_and_log() {
    std::vector<ValidationReport> reports;
    bool best = false;
    double recall = 0;
    for (const std::string& part : validation_parts(options.validation)) {
      const double begun = steady_seconds();
      const ValidationScores scores =
          validate(device, *recipe, options, data[part_named(part, "validation.also")], ranks, [this] {
            // Ranks have different numbers of batches here, so several stop after the validation.
            if (ranks.alone() && stop_requested()) save_and_stop();
          });
      timing->add(Activity::embedding, scores.embedding_seconds);
      timing->add(Activity::scoring, scores.scoring_seconds);
      if (reports.empty()) recall = scores.recall_at_1;
      reports.push_back({.epoch = epoch,
                         .step = steps_done,
                         .part = part,
                         .table = scores.table,
                         .overlap = scores.overlap,
                         .seconds = steady_seconds() - begun});
    }
    validated_epoch = epoch;
    if (epoch > 0 && recall > best_recall) {
      best = reports.front().best = true;
      best_recall = recall;
      best_epoch = epoch;
    }
    for (const ValidationReport& made : reports) log_scores(made);
    keep(reports.front());
    if (tracker) write_curves();
    for (const ValidationReport& made : reports)
      if (hooks.validated) hooks.validated(made);
    if (best) save_best();
  }

  void save_best() {
    const ActivityTimer timer(*timing, Activity::checkpoints);
    recipe->gather_state();
    if (ranks.leads())
      result.best_checkpoint = run_dir.checkpoints().save_best(info(), [this](StateVisitor& visitor) { visit_state(visitor); });
    recipe->drop_gathered();
  }

  void write_curves() {
    tracker->validated(best_epoch < 0 ? Json::object() : Json{{"best/epoch", best_epoch}, {"best/recall@1", best_recall}});
    run_dir.write_curves();
  }

  bool validation_due() const {
    if (validated_epoch >= epoch) return false;
    if (epoch == 0) return batch == 0 && options.validation.untrained;
    return batch == 0 && (epoch == options.epochs || epoch % options.validation.every == 0);
  }

  /// Trains, and leaves the exit record in the logs however it ends.
  TrainResult run(const TrainHooks& with) {
    hooks = with;
    if (ranks.leads()) tracker.emplace(run_dir.path(), run_dir.log(), options);
    timing.emplace(run_dir.path());
    started = reported = steady_seconds();
    try {
      const TrainResult made = train();
      finish(ExitCode::ok, "");
      return made;
    } catch (const RankError& error) {
      const std::string sentence = after_loss(error.what());
      finish_failed(error.code(), sentence);
      throw RankError(sentence);
    } catch (const Preempted& stopped) {
      finish_failed(stopped.code(), stopped.what());
      // Once a rank has left, its launcher ends those that are still writing.
      ranks.barrier();
      throw;
    } catch (const Error& error) {
      finish_failed(error.code(), error.what());
      throw;
    } catch (const std::bad_alloc&) {
      finish_failed(ExitCode::device, "out of memory on the host");
      throw;
    } catch (const std::exception& error) {
      finish_failed(ExitCode::internal, error.what());
      throw;
    }
  }

  std::string after_loss(const std::string& what) {
    if (step->take_back()) {
      --steps_done;
      batch = batch_before;
    }
    if (!recipe->holds_all_state())
      return fmt::format(
          "{}, and a slice of the memory bank with it (nca.sharded); continue from the last checkpoint with "
          "--resume {}",
          what, run_dir.path().string());
    std::optional<std::uint64_t> saved;
    try {
      saved = ranks.save_once([this] {
        take_over_logs();
        drain();
        require_sound_state();
        write_checkpoint();
        return steps_done;
      });
    } catch (const std::exception& error) {
      return fmt::format("{}, and the run was not saved ({}); continue from the last checkpoint with --resume {}", what,
                         error.what(), run_dir.path().string());
    }
    if (!saved) return fmt::format("{}; continue from the last checkpoint with --resume {}", what, run_dir.path().string());
    return fmt::format("{}; saved after step {}, continue with --resume {}", what, *saved, run_dir.path().string());
  }

  // Rank 0, which kept them, may be the one that is lost.
  void take_over_logs() {
    try {
      if (!tracker) tracker.emplace(run_dir.path(), run_dir.log(), options);
    } catch (const std::exception& error) {
      log::warn("the logs lack the end of the run: {}", error.what());
    }
  }

  void finish(ExitCode code, const std::string& sentence) {
    if (!tracker) return;
    timing->write(steady_seconds() - started);
    tracker->finish(code, sentence);
  }

  void finish_failed(ExitCode code, const std::string& sentence) {
    if (!tracker) return;
    try {
      finish(code, sentence);
    } catch (const std::exception& error) {
      log::warn("the logs lack the end of the run: {}", error.what());
    }
  }

  TrainResult train() {
    first_step = steps_done;
    while (true) {
      // Saved first, so that a kill during a long validation loses nothing; a resumed run then validates.
      const bool due = validation_due(), finished = epoch >= options.epochs;
      if (epoch > 0 && batch == 0 && steps_done > first_step && (due || finished || epoch % options.run.checkpoint_every == 0))
        save();
      if (due) {
        validate_and_log();
        reported = steady_seconds();
      }
      if (due && finished) save();
      if (finished) break;
      if (ranks.leads()) timing->write(steady_seconds() - started);
      if (stop_requested()) save_and_stop();
      train_epoch();
    }
    result.steps = steps_done;
    result.seconds = steady_seconds() - started;
    return result;
  }
};

Trainer::Trainer(Device& device, const TrainOptions& options, const PackedSet& data, RunDir& run, Communicator& ranks)
    : impl_(std::make_unique<Impl>(device, options, data, run, ranks)) {}
Trainer::~Trainer() = default;

TrainResult Trainer::run(const TrainHooks& hooks) { return impl_->run(hooks); }
std::int64_t Trainer::parameter_count() const { return impl_->block.count(); }
std::int64_t Trainer::frozen_parameter_count() const {
  std::int64_t count = 0;
  for (const Parameter& p : impl_->block.parameters())
    if (p.trainable == Trainable::no) count += p.shape.numel();
  return count;
}
std::uint64_t Trainer::steps_done() const { return impl_->steps_done; }
ParameterBlock& Trainer::block() { return impl_->block; }
Recipe& Trainer::recipe() { return *impl_->recipe; }

}  // namespace swath
