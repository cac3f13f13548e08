// What the kernels of rows, miners and losses state in a dry run.
#include <algorithm>
#include <cmath>

#include "kernels/adversarial_loss.h"
#include "kernels/bce_loss.h"
#include "kernels/binomial_loss.h"
#include "kernels/distance_weighted.h"
#include "kernels/dry_run.h"
#include "kernels/dry_run_text.h"
#include "kernels/gather_rows.h"
#include "kernels/intra_random.h"
#include "kernels/label_mask.h"
#include "kernels/label_similarity.h"
#include "kernels/margin_loss.h"
#include "kernels/memory_bank.h"
#include "kernels/moco_loss_plan.h"
#include "kernels/multilabel_semihard.h"
#include "kernels/nca_loss_plan.h"
#include "kernels/pair_rows.h"
#include "kernels/pairwise_distance.h"
#include "kernels/permute_labels.h"
#include "kernels/queue_push.h"
#include "kernels/row_normalize.h"
#include "kernels/semihard.h"
#include "kernels/shuffle_rows.h"
#include "kernels/triplet_list.h"
#include "kernels/weight_norm_loss.h"

namespace swath::kernels {

namespace {

double number(std::int64_t n) { return static_cast<double>(n); }

double reread(GradMode mode) { return mode == GradMode::accumulate ? 1 : 0; }

std::string rows_text(std::int64_t rows, std::int64_t cols) { return shape_text({rows, cols}, DType::f32); }

/// Tiles of 64 × 64 pairs on or above the diagonal read both sides and write two images of the slopes; those of d_x read the
/// slopes and the rows.
double binomial_sectors(double rows, double cols, double learners) {
  const double tiles = std::ceil(rows / 64), column_tiles = std::ceil(cols / 64);
  const double scores = tiles * (tiles + 1) / 2 * 128 * cols / 8 + learners * rows * rows / 8;
  return scores + tiles * column_tiles * rows * 128 / 8 + rows * cols / 8 + rows * rows / 8;
}

/// By the tiles of 64 × 64 of both products; the rows' pass also reads two numbers of every column, twice.
double moco_sectors(const MocoLossArgs& args, const moco_plan::Cuda& plan) {
  const auto tiles = [](std::int64_t n) { return static_cast<double>((n + 63) / 64); };
  const double pairs = number(args.rows * args.capacity), cols = number(args.cols);
  const double partials = number(plan.splits * args.rows * args.cols);
  const double products = tiles(args.capacity) * tiles(args.rows) * 128 * cols / 8 + pairs / 8;
  const double passes = pairs / 8 + 3 * pairs / 8 + pairs / 2;
  const double gradients = tiles(args.cols) * tiles(args.rows) * number(args.capacity) * 128 / 8 + 2 * partials / 8;
  return products + passes + gradients + 2 * number(args.rows) * cols / 8;
}

/// By the runs of tiles of both passes: the bank and its labels for every block of rows, the rows for every run (each sector
/// for two of its columns at a time), partial gradients written so too and read once.
double nca_sectors(const NcaLossArgs& args, const nca_plan::Cuda& plan, bool sums_pass, bool gradient_pass) {
  const auto blocks = [&](std::int64_t rows) { return static_cast<double>((args.batch + rows - 1) / rows); };
  const double bank = number(args.rows * args.cols) * number(static_cast<std::int64_t>(size_of(args.bank_type))) / 32;
  const double labels = number(args.rows * label_words(args.classes)) / 4;
  const double rows = number(args.batch * args.cols) / 4;
  const double runs = number(plan.gradient_runs);
  const auto pass = [&](std::int64_t block) { return blocks(block) * number(plan.spans) * (bank + labels); };
  const double sums = number(plan.statistics_runs * args.batch);
  double sectors = 0;
  if (sums_pass) sectors += pass(plan.kStatisticsRows) + rows * number(plan.statistics_runs) + sums;
  if (gradient_pass) sectors += pass(plan.kGradientRows) + rows * runs * 2.5 + rows;
  return sectors;
}

}  // namespace

void gather_rows(const GatherRowsArgs& args, DryRun run) {
  const double bytes = 4 * number(args.rows * args.cols), index = 4 * number(args.rows);
  run.ledger->record("gather_rows", rows_text(args.rows, args.cols),
                     {.read = bytes + index, .written = bytes, .sectors = (2 * bytes + index) / 32});
}

void scatter_add_rows(const ScatterAddRowsArgs& args, DryRun run) {
  const double rows = number(args.rows), x_rows = number(args.x_rows), cols = number(args.cols);
  // Every row of x and 512 columns look at the whole index.
  run.ledger->record("scatter_add_rows", rows_text(args.rows, args.cols),
                     {.read = 4 * (rows * cols + rows + x_rows * cols * reread(args.d_x_mode)),
                      .written = 4 * x_rows * cols,
                      .flops = rows * cols,
                      .sectors = (rows + x_rows) * cols / 8 + x_rows * std::max(1.0, cols / 512) * rows / 8});
}

void row_normalize(const RowNormalizeArgs& args, DryRun run) {
  const double n = number(args.rows), elements = number(args.rows * args.cols);
  run.ledger->record("row_normalize", rows_text(args.rows, args.cols),
                     {.read = 4 * elements,
                      .written = 4 * elements + (args.inv_norm ? 4 * n : 0),
                      .flops = 3 * elements,
                      .sectors = 3 * elements / 8 + n});
}

void row_normalize_backward(const RowNormalizeBackwardArgs& args, DryRun run) {
  const double n = number(args.rows), elements = number(args.rows * args.cols);
  run.ledger->record("row_normalize_backward", rows_text(args.rows, args.cols),
                     {.read = (8 + 4 * reread(args.d_x_mode)) * elements + 4 * n,
                      .written = 4 * elements,
                      .flops = 5 * elements,
                      .sectors = 5 * elements / 8 + n});
}

void pair_rows(const PairRowsArgs& args, DryRun run) {
  const double n = number(args.images), c = number(args.classes), k = number(args.rows_per_class), words = number(args.words);
  // Every class reads its word of all images to place itself, to count its members, and half of them for each draw.
  run.ledger->record("pair_rows", shape_text({args.images, args.classes, args.rows_per_class}, DType::i32),
                     {.read = 8 * n * words,
                      .written = 8 * c * k,
                      .sectors = c * (n * 8 / 32 * (1 + (words + 1) / 2 + k / 2) * words + 3 * k)});
}

void pairwise_distance(const PairwiseDistanceArgs& args, DryRun run) {
  const double n = number(args.rows), width = number(args.cols), tiles = number((args.rows + 31) / 32);
  // Blocks on or above the diagonal read 32 rows of either side and write 32 × 32 distances twice.
  run.ledger->record("pairwise_distance", rows_text(args.rows, args.cols),
                     {.read = 4 * n * width,
                      .written = 4 * n * n,
                      .flops = n * n * width,
                      .sectors = tiles * (tiles + 1) / 2 * 64 * width / 8 + n * n / 8});
}

void semihard(const SemihardArgs& args, DryRun run) {
  const double n = number(args.rows);
  // Two whole passes over an anchor's distances and classes, and one until the drawn candidates are found.
  run.ledger->record("semihard", rows_text(args.rows, args.rows),
                     {.read = 4 * n * n + 12 * n, .written = 12 * n, .sectors = 2.5 * n * n / 4 + 5 * n, .launches = 2});
}

void distance_weighted(const DistanceWeightedArgs& args, DryRun run) {
  const double n = number(args.rows);
  // Three whole passes over an anchor's distances and classes, and two until the drawn partner is found.
  run.ledger->record(
      "distance_weighted", rows_text(args.rows, args.rows),
      {.read = 4 * n * n + 12 * n, .written = 12 * n, .flops = 130 * n * n, .sectors = 4 * n * n / 4 + 5 * n, .launches = 2});
}

void intra_random(const IntraRandomArgs& args, DryRun run) {
  const double n = number(args.rows);
  // Every row looks at all classes; a draw reads and writes some ten scattered numbers.
  run.ledger->record("intra_random", shape_text({args.rows}, DType::i32),
                     {.read = 4 * n, .written = 12 * n, .sectors = n * n / 8 + 10 * n, .launches = 2});
}

void permute_labels(const PermuteLabelsArgs& args, DryRun run) {
  const double n = number(args.rows);
  // A block of 8 rows reads the classes once for their keys; each row reads half of them to find its target.
  run.ledger->record("permute_labels", shape_text({args.rows}, DType::i32),
                     {.read = 4 * n, .written = 4 * n, .sectors = n / 8 * n / 8 + n * n / 16 + 6 * n});
}

void shuffle_rows(const ShuffleRowsArgs& args, DryRun run) {
  const double n = number(args.rows);
  // Places in order, the order scattered, a sector each; every warp reads the step.
  run.ledger->record("shuffle_rows", shape_text({args.rows}, DType::i64), {.written = 12 * n, .sectors = n / 8 + n + n / 32});
}

void label_similarity(const LabelSimilarityArgs& args, DryRun run) {
  const double rows = number(args.rows), others = number(args.other_rows), words = number(label_words(args.classes));
  // For 16 rows, every other row's mask once; for 32 other rows, every row's mask; and the counts.
  run.ledger->record("label_similarity", shape_text({args.rows, args.other_rows}, DType::u16),
                     {.read = 8 * words * rows,
                      .written = 2 * rows * others + 4 * rows,
                      .sectors = rows * others * (words / 64 + words / 32 + 1.0 / 16) + rows});
}

void multilabel_semihard(const MultilabelSemihardArgs& args, DryRun run) {
  const double n = number(args.rows), room = number(args.capacity);
  if (args.x) pairwise_distance({.x = args.x, .rows = args.rows, .cols = args.cols, .x_ld = args.x_ld}, run);
  // An anchor's farthest positive and what is nearer, counted; the same, the fine and the coarse rows, written.
  run.ledger->record(
      "multilabel_semihard", rows_text(args.rows, args.rows),
      {.read = 6 * n * n + 4 * n, .written = 12 * room, .sectors = 6 * n * n * 10 / 32 + 12 * room / 32, .launches = 3});
}

void triplet_list(const TripletListArgs& args, DryRun run) {
  const double n = number(args.rows);
  // A warp's loads of one of two words touch 8 sectors, its stores of one of three 12; partners are read twice.
  run.ledger->record("triplet_list", shape_text({args.rows, 3}, DType::i32),
                     {.read = 8 * n, .written = 12 * n, .sectors = n * (3 * 8 + 3 * 12) / 32 + 1});
}

void margin_loss(const MarginLossArgs& args, DryRun run) {
  const double n = number(args.rows), width = number(args.cols), triplets = number(args.capacity);
  // Rows: three a triplet for its terms, four for the gradients, and each row's own twice. The list: a warp's loads of a word
  // of 32 triplets touch 12 sectors, of their terms 16; every row looks at three words and two terms.
  run.ledger->record("margin_loss", shape_text({args.capacity, 3, args.cols}, DType::f32),
                     {.read = 4 * (n * width + 3 * triplets + 4 * triplets),
                      .written = 4 * n * width,
                      .flops = 15 * triplets * width,
                      .sectors = (7 * triplets + 2 * n) * width / 8 + n * triplets * (3 * 12 + 2 * 16) / 32 + 12 * triplets,
                      .launches = 2});
}

void binomial_loss(const BinomialLossArgs& args, DryRun run) {
  double width = 0;
  for (std::int64_t k = 0; k < args.learners; ++k) width += number(args.widths[k]);
  const double n = number(args.rows), learners = number(args.learners);
  run.ledger->record("binomial_loss", rows_text(args.rows, static_cast<std::int64_t>(width)),
                     {.read = 4 * n * width,
                      .written = 4 * n * width,
                      .flops = n * n * (3 * width + 50 * learners),
                      .sectors = binomial_sectors(n, width, learners),
                      .launches = 3});
}

void adversarial_loss(const AdversarialLossArgs& args, DryRun run) {
  const double n = number(args.rows * args.cols);
  run.ledger->record(
      "adversarial_loss", rows_text(args.rows, args.cols),
      {.read = 8 * n, .written = 8 * n, .flops = 8 * n, .sectors = 6 * n / 8 + number(args.rows), .launches = 2});
}

void bce_loss(const BceLossArgs& args, DryRun run) {
  const double n = number(args.rows * args.classes);
  // A warp of 128 elements looks at the words of some three rows, one element of each thread after the other.
  run.ledger->record(
      "bce_loss", rows_text(args.rows, args.classes),
      {.read = 4 * n + n / 8, .written = 4 * n, .flops = 50 * n, .sectors = n / 4 + 4 * n / 128 * 3, .launches = 2});
}

void weight_norm_loss(const WeightNormLossArgs& args, DryRun run) {
  double weights = 0, written = 0, rows = 0;
  for (std::int64_t l = 0; l < args.layer_count; ++l) {
    const WeightNormLayer& layer = args.layers[static_cast<std::size_t>(l)];
    const double count = number(layer.rows * layer.cols);
    weights += count * (1 + reread(layer.d_weight_mode));
    written += layer.d_weight_mode == GradMode::skip ? 0 : count;
    rows += number(layer.rows);
  }
  run.ledger->record("weight_norm_loss", shape_text({static_cast<std::int64_t>(weights)}, DType::f32),
                     {.read = 4 * weights,
                      .written = 4 * written,
                      .flops = 4 * weights,
                      .sectors = (2 * weights + written) / 8 + 2 * rows,
                      .launches = args.loss ? 2 : 1});
}

void moco_loss(const MocoLossArgs& args, DryRun run) {
  const moco_plan::Cuda plan(args);
  const double n = number(args.rows), width = number(args.cols), queue = number(args.capacity);
  // Each launch reads and writes the products and partial gradients of the ones before.
  const double products = 4 * n * queue, partials = 4 * number(plan.splits) * n * width;
  run.ledger->record("moco_loss", rows_text(args.rows, args.capacity),
                     {.read = 4 * width * (2 * n + 2 * queue) + 3 * products + partials,
                      .written = 4 * width * n + 2 * products + partials,
                      .flops = 4 * n * queue * width,
                      .sectors = moco_sectors(args, plan),
                      .launches = 5});
}

void queue_push(const QueuePushArgs& args, DryRun run) {
  const double n = number(args.rows), elements = number(args.rows * args.cols);
  run.ledger->record("queue_push", rows_text(args.rows, args.cols),
                     {.read = 4 * elements, .written = 4 * elements, .sectors = elements / 4 + n, .launches = 2});
}

void nca_loss(const NcaLossArgs& args, DryRun run) {
  const nca_plan::Cuda plan(args);
  const bool sums = args.part != NcaPart::loss;
  const bool gradient = args.part != NcaPart::sums && args.d_embeddings_mode != GradMode::skip;
  const int passes = (sums ? 1 : 0) + (gradient ? 1 : 0);
  const double n = number(args.batch), width = number(args.cols), rows = number(args.rows);
  const double element = static_cast<double>(size_of(args.bank_type));
  const double bank = rows * (width * element + 8 * number(label_words(args.classes)));
  const double partials = gradient ? 4 * number(plan.gradient_runs) * n * width : 0;
  // Full float32 multiplies each pair of operands three times.
  const double products = args.bank_type == DType::f32 ? (args.math == NcaMath::full ? 3 : 1) : 2;
  run.ledger->record("nca_loss", rows_text(args.batch, args.rows),
                     {.read = passes * bank + 4 * n * width + partials,
                      .written = (args.part == NcaPart::sums ? 16 * n : 4 * n * width) + partials,
                      .flops = ((sums ? 2 : 0) + (gradient ? 4 : 0)) * n * rows * width * products,
                      .sectors = nca_sectors(args, plan, sums, gradient),
                      // Each pass, the rows, and where there is a loss its sum.
                      .launches = passes + (args.part == NcaPart::sums ? 1 : 2),
                      .math = args.bank_type == DType::f32 ? Math::tf32 : Math::bf16});
}

void bank_init(const BankInitArgs& args, DryRun run) {
  const double bytes = number(args.rows * args.cols) * static_cast<double>(size_of(args.bank_type));
  run.ledger->record("bank_init", shape_text({args.rows, args.cols}, args.bank_type),
                     {.written = bytes, .sectors = bytes / 32});
}

void bank_update(const BankUpdateArgs& args, DryRun run) {
  const double n = number(args.batch), width = number(args.cols), element = static_cast<double>(size_of(args.bank_type));
  // Both are read a second time, from the cache; every row compares its index with those behind it.
  run.ledger->record("bank_update", shape_text({args.batch, args.cols}, args.bank_type),
                     {.read = n * width * (4 + element),
                      .written = n * width * element,
                      .flops = 6 * n * width,
                      .sectors = n * width * (8 + 3 * element) / 32 + n * n / 16});
}

}  // namespace swath::kernels
