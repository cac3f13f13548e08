#include "recipes/diva.h"

#include "engine/autograd/rank_ops.h"
#include "engine/autograd/row_ops.h"
#include "engine/core/log.h"
#include "kernels/gather_rows.h"
#include "kernels/pair_rows.h"
#include "kernels/shuffle_rows.h"
#include "recipes/pair_rows.h"
#include "recipes/step.h"

namespace swath {

namespace {

constexpr const char* kFeatures[] = {"discriminative", "selfsimilarity", "shared", "intra"};
constexpr std::size_t kFeatureCount = 4, kSelfSimilarity = 1;
constexpr std::uint32_t kRotatedView = 1;
// The key network's dropout and shuffle, and the batches that fill the queue, have random numbers of their own.
constexpr std::uint64_t kKeySeed = 0x6b65792d6e6574ull, kFillSeed = 0x66696c6c2d71ull;

/// Four heads of a quarter of the embedding each.
std::vector<HeadSpec> heads_of(const ModelOptions& model) {
  if (model.penultimate) throw UserError("diva trains heads; set model.penultimate=false");
  const auto parts = static_cast<std::int64_t>(kFeatureCount);
  if (model.embedding % parts != 0)
    throw UserError(fmt::format("model.embedding is {}, which diva's four features cannot share evenly; choose a multiple of 4",
                                model.embedding));
  std::vector<HeadSpec> heads;
  for (const char* name : kFeatures) heads.push_back({name, model.embedding / parts});
  return heads;
}

std::vector<std::int64_t> widths_of(const std::vector<HeadSpec>& heads) {
  std::vector<std::int64_t> widths;
  for (const HeadSpec& head : heads) widths.push_back(head.width);
  return widths;
}

/// From every other feature to the discriminative one.
std::vector<AdversarialDirection> directions_of(float weight) {
  std::vector<AdversarialDirection> directions;
  for (std::size_t part = 1; part < kFeatureCount; ++part) directions.push_back({static_cast<std::int64_t>(part), 0, weight});
  return directions;
}

const RecipeContext& checked(const RecipeContext& context) {
  const ImageSpec& image = context.train.image();
  if (image.height != image.width)
    throw UserError(fmt::format("diva rotates images by 90°, but these are {}×{}; set data.image_size to pack square ones",
                                image.height, image.width));
  if (const std::size_t count = context.options.diva.evaluation_weights.size(); count != kFeatureCount)
    throw UserError(fmt::format("diva.evaluation_weights holds {} factors; give {}", count, kFeatureCount));
  return context;
}

Tensor gather(const Tensor& rows, const Tensor& index) {
  const std::int64_t cols = rows.size(1);
  const Tensor out = Tensor::empty(rows.device(), {index.numel(), cols});
  const kernels::GatherRowsArgs args{.x = rows.data<float>(),
                                     .index = index.data<std::int32_t>(),
                                     .out = out.data<float>(),
                                     .rows = index.numel(),
                                     .cols = cols,
                                     .x_ld = cols,
                                     .out_ld = cols};
  rows.device().run([&](auto exec) { kernels::gather_rows(args, exec); });
  return out;
}

}  // namespace

Diva::Mined Diva::mined(const char* name, const char* miner, float weight) const {
  MinerOptions options = options_.miner;
  options.name = miner;
  std::size_t part = 0;
  while (std::string(kFeatures[part]) != name) ++part;
  return {part, weight, make_miner(options), MarginLoss(block_, options_.margin, classes_, std::string("margin.") + name)};
}

Diva::Diva(const RecipeContext& context)
    : device_(context.device),
      block_(context.block),
      options_(checked(context).options),
      train_(context.train),
      ranks_(context.ranks),
      classes_(context.train.labels().classes()),
      rows_per_class_(options_.sampler.images_per_class),
      sampler_(make_sampler(options_.sampler, train_.labels(), options_.seed)),
      embedder_(block_, options_.model, train_.image().channels, heads_of(options_.model), options_.seed),
      decorrelation_(block_, widths_of(heads_of(options_.model)), directions_of(options_.diva.decorrelation),
                     options_.diva.regressor_hidden, options_.seed, "decorrelation"),
      key_(device_, options_.model, train_.image().channels, heads_of(options_.model), options_.moco.momentum),
      moco_(device_, options_.moco, kernels::pair_rows_capacity(classes_, rows_per_class_),
            heads_of(options_.model)[kSelfSimilarity].width) {
  mined_.push_back(mined("discriminative", "distance", options_.diva.discriminative));
  mined_.push_back(mined("shared", "random_distance", options_.diva.shared));
  mined_.push_back(mined("intra", "intra_random", options_.diva.intra));
}

Tensor Diva::keys(Tape& tape, const BatchViews& views, std::int64_t images, RandomKey random) const {
  const RowSlice mine = ranks_.slice(images);
  const RandomKey own{random.seed ^ kKeySeed, random.step, mine.begin};
  const Tensor order = Tensor::empty(device_, {images}, DType::i64), place = Tensor::empty(device_, {images}, DType::i32);
  const kernels::ShuffleRowsArgs shuffle{.step = own.step,
                                         .order = order.data<std::int64_t>(),
                                         .place = place.data<std::int32_t>(),
                                         .rows = images,
                                         .seed = own.seed};
  device_.run([&](auto exec) { kernels::shuffle_rows(shuffle, exec); });
  const Tensor rotated = views.make(
      {.rotation = AugmentRotation::random_quarter, .number = kRotatedView, .order = order.rows(mine.begin, mine.end())},
      random);
  return gather(gather_ranks(tape, key_.forward(tape, rotated, own)[kSelfSimilarity]), place);
}

Objective Diva::objective(Tape& tape, const DeviceBatch& batch) {
  const PairRows pairs = draw_pair_rows(batch, classes_, rows_per_class_);
  const Tensor row_keys = gather(keys(tape, batch.views.of_all_ranks(tape), batch.labels.size(0), batch.random), pairs.image);
  std::vector<Var> parts;
  for (const Var& part : embedder_.forward(tape, Var(batch.images), batch.random))
    parts.push_back(gather_rows(tape, gather_ranks(tape, part), pairs.image));

  LossInput input{.rows = parts[kSelfSimilarity], .row_class = pairs.row_class, .row_count = pairs.count, .keys = row_keys};
  const Var moco = moco_.forward(tape, input).loss;
  input.rows = concat_columns(tape, parts);
  const Var apart = decorrelation_.forward(tape, input).loss;
  Var total = add(tape, scale(tape, moco, options_.diva.selfsimilarity), apart);
  std::vector<Tensor> values(kFeatureCount);
  values[kSelfSimilarity] = moco.value();
  for (Mined& feature : mined_) {
    input.rows = parts[feature.part];
    input.triplets = feature.miner->mine(
        {.rows = input.rows.value(), .row_class = pairs.row_class, .row_count = pairs.count, .random = batch.random});
    const Var loss = feature.loss.forward(tape, input).loss;
    values[feature.part] = loss.value();
    total = add(tape, total, scale(tape, loss, feature.weight));
  }
  Objective objective{total, {}};
  for (std::size_t part = 0; part < kFeatureCount; ++part) objective.statistics.emplace_back(kFeatures[part], values[part]);
  objective.statistics.emplace_back("decorrelation", apart.value());
  return objective;
}

void Diva::after_step() {
  key_.follow(block_);
  moco_.after_step();
}

void Diva::begin_epoch(std::int64_t /*epoch*/) {
  if (started_) return;
  key_.start(block_);
  fill_queue();
  started_ = 1;
}

void Diva::fill_queue() {
  const std::int64_t wanted = options_.moco.n_key_batches;
  log::info("filling the queue with the keys of {} batches", wanted);
  const std::uint64_t seed = options_.seed ^ kFillSeed;
  const auto sampler = make_sampler(options_.sampler, train_.labels(), seed);
  Loader loader(train_);
  std::int64_t done = 0;
  for (std::int64_t epoch = 0; done < wanted; ++epoch) {
    sampler->begin_epoch(epoch);
    loader.start(*sampler);
    while (done < wanted) {
      const Batch* batch = loader.next();
      if (!batch) break;
      const Tensor step = Tensor::from_host(device_, {1}, std::vector<std::uint64_t>{static_cast<std::uint64_t>(done)});
      push_keys(*batch, {seed, step.data<std::uint64_t>()});
      ranks_.settle();
      ++done;
    }
    loader.finish();
  }
}

void Diva::push_keys(const Batch& batch, RandomKey random) {
  Tape tape(device_, Phase::train);
  tape.share(batch_share(ranks_, batch.n, options_.ranks));
  DeviceBatch on_device;
  on_device.views = BatchViews(device_, train_.image(), batch.pixels, batch.n,
                               {.crop = crop_side(options_.crop, train_.image()), .type = activation_type(options_.precision)});
  on_device.labels = Tensor::from_host(device_, {batch.n, train_.labels().words()}, batch.labels, Tag::input);
  on_device.random = random;
  const PairRows pairs = draw_pair_rows(on_device, classes_, rows_per_class_);
  moco_.push(gather(keys(tape, on_device.views, batch.n, random), pairs.image), pairs.count);
}

Tensor Diva::embed(Tape& tape, const Tensor& images) {
  std::vector<Var> parts = embedder_.forward(tape, Var(images), {});
  for (std::size_t i = 0; i < parts.size(); ++i)
    parts[i] = scale(tape, parts[i], static_cast<float>(options_.diva.evaluation_weights[i]));
  return normalize_rows(tape, concat_columns(tape, parts)).value();
}

void Diva::visit_state(StateVisitor& visitor) {
  key_.visit_state(visitor);
  moco_.visit_state(visitor);
  visitor.scalar("diva.started", started_);
}

}  // namespace swath
