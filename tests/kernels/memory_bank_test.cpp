// Cases of bank_init and bank_update. methods.md §6 "NCA with memory bank".
#include "kernels/memory_bank.h"

#include "kernels/memory_bank_draw.h"
#include "tests/kernels/kernel_case.h"
#include "tests/reference/nca.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class MemoryBankTest : public KernelTest {};

std::vector<bf16> rounded(const std::vector<float>& values) {
  std::vector<bf16> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](float v) { return from_float<bf16>(v); });
  return out;
}
std::vector<float> widened(const std::vector<bf16>& values) {
  std::vector<float> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), [](bf16 v) { return to_float(v); });
  return out;
}

std::vector<float> init(Place place, std::int64_t rows, std::int64_t cols, std::uint64_t seed, std::size_t misalign) {
  CaseMemory memory(place);
  float* bank = memory.make_output<float>(rows * cols, misalign);
  memory.run([&](auto exec) { bank_init({.bank = bank, .rows = rows, .cols = cols, .seed = seed}, exec); });
  return memory.get(bank, rows * cols);
}

TEST_P(MemoryBankTest, InitialRowsAreThoseOfTheFormula) {
  for (const auto& [rows, cols] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 4}, {1, 1}, {3, 5}, {33, 31}, {7, 512}}) {
    const std::vector<float> got = init(GetParam(), rows, cols, 77, 0), off = init(GetParam(), rows, cols, 77, 1);
    EXPECT_EQ(got, off);
    for (std::int64_t k = 0; k < rows * cols; ++k) {
      const std::uint32_t bits = philox(77, 0, RandomStream::bank, static_cast<std::uint64_t>(k / 4)).v[k % 4] >> 8;
      const double unit = 2 * static_cast<double>(bits) / 16777216 - 1;
      EXPECT_EQ(got[k], static_cast<float>(unit * static_cast<double>(bank_limit(cols)))) << k;
    }
    CaseMemory memory(GetParam());
    bf16* half = memory.make_output<bf16>(rows * cols);
    memory.run(
        [&](auto exec) { bank_init({.bank = half, .rows = rows, .cols = cols, .bank_type = DType::bf16, .seed = 77}, exec); });
    EXPECT_EQ(widened(memory.get(half, rows * cols)), widened(rounded(got)));
  }
}

TEST_P(MemoryBankTest, SlicesHaveTheRowsOfTheWhole) {
  for (const std::int64_t cols : {1, 3, 4, 30}) {
    const std::vector<float> whole = init(GetParam(), 9, cols, 77, 0);
    for (const auto& [first, rows] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 1}, {1, 1}, {3, 5}, {8, 1}, {4, 0}}) {
      CaseMemory memory(GetParam());
      float* const slice = memory.make_output<float>(rows * cols);
      memory.run([&, first = first, rows = rows](auto exec) {
        bank_init({.bank = slice, .rows = rows, .cols = cols, .seed = 77, .first = first}, exec);
      });
      const std::vector<float> wanted(whole.begin() + first * cols, whole.begin() + (first + rows) * cols);
      EXPECT_EQ(memory.get(slice, rows * cols), wanted) << first << " + " << rows << " of " << cols;
    }
  }
}

TEST_P(MemoryBankTest, SlicesMoveTheirOwnRows) {
  const std::int64_t rows = 10, cols = 6;
  const std::vector<float> e = random_floats(7 * cols, 92), bank = random_floats(rows * cols, 93);
  // Twice the same, a row of no slice, both ends.
  const std::vector<std::int32_t> index{3, 9, 3, -1, 0, 4, 10};
  const auto update = [&](std::int64_t first, std::int64_t count) {
    CaseMemory memory(GetParam());
    float* const slice = memory.put(std::vector<float>(bank.begin() + first * cols, bank.begin() + (first + count) * cols));
    const BankUpdateArgs args{.embeddings = memory.put(e),
                              .index = memory.put(index),
                              .momentum = memory.put_one(0.5f),
                              .bank = slice,
                              .batch = 7,
                              .rows = count,
                              .cols = cols,
                              .embeddings_ld = cols,
                              .first = first};
    memory.run([&](auto exec) { bank_update(args, exec); });
    return memory.get(slice, count * cols);
  };
  std::vector<float> together;
  for (const auto& [first, count] : std::vector<std::pair<std::int64_t, std::int64_t>>{{0, 4}, {4, 0}, {4, 1}, {5, 5}})
    for (const float v : update(first, count)) together.push_back(v);
  EXPECT_EQ(together, update(0, rows));
  EXPECT_NE(together, bank);
}

TEST_P(MemoryBankTest, InitialValuesAreUniform) {
  const std::vector<float> got = init(GetParam(), 64, 512, 5, 0);
  const double limit = 1 / std::sqrt(512.0 / 3);
  double sum = 0, squares = 0, smallest = 1, largest = -1;
  for (const float v : got) {
    const double x = static_cast<double>(v) / limit;
    sum += x, squares += x * x, smallest = std::min(smallest, x), largest = std::max(largest, x);
  }
  const double n = static_cast<double>(got.size());
  EXPECT_NEAR(sum / n, 0, 4 / std::sqrt(3 * n));
  EXPECT_NEAR(squares / n, 1.0 / 3, 4 * std::sqrt(4.0 / 45 / n));
  EXPECT_LT(smallest, -0.999);
  EXPECT_GT(largest, 0.999);
  EXPECT_LE(std::max(-smallest, largest), 1.0000001);
  EXPECT_NE(got, init(GetParam(), 64, 512, 6, 0));
}

struct UpdateCase {
  std::int64_t batch, rows, cols;
  float momentum = 0.5f;
  std::int64_t ld = 0;
  std::size_t misalign = 0;
};

void check_update(Place place, const UpdateCase& c, DType type) {
  SCOPED_TRACE(::testing::Message() << c.batch << " of " << c.rows << " x " << c.cols << ", " << kernels::name_of(type));
  const std::int64_t ld = std::max(c.ld, c.cols);
  reference::Nca n;
  n.rows = c.rows;
  n.cols = c.cols;
  n.index = random_ints(c.batch, 91, static_cast<std::uint32_t>(c.rows));
  for (std::int64_t i = 3; i < c.batch; i += 7) n.index[i] = -1;
  const std::vector<float> e = reference::unit_rows(random_floats(c.batch * c.cols, 92), c.batch, c.cols);
  std::vector<float> bank = random_floats(c.rows * c.cols, 93);
  if (type == DType::bf16) bank = widened(rounded(bank));
  std::vector<float> spread(static_cast<std::size_t>(c.batch * ld), NAN);
  for (std::int64_t i = 0; i < c.batch; ++i) std::copy_n(e.begin() + i * c.cols, c.cols, spread.begin() + i * ld);

  CaseMemory memory(place);
  void* on_device =
      type == DType::f32 ? static_cast<void*>(memory.put(bank, c.misalign)) : memory.put(rounded(bank), c.misalign);
  const BankUpdateArgs args{.embeddings = memory.put(spread),
                            .index = memory.put(n.index),
                            .momentum = memory.put_one(c.momentum),
                            .bank = on_device,
                            .batch = c.batch,
                            .rows = c.rows,
                            .cols = c.cols,
                            .embeddings_ld = ld,
                            .bank_type = type};
  memory.run([&](auto exec) { bank_update(args, exec); });
  const std::vector<double> wanted =
      reference::nca_bank_update(n, to_double(e), to_double(bank), static_cast<double>(c.momentum));
  std::vector<float> naive = reference::nca_bank_update(n, e, bank, c.momentum);
  if (type == DType::f32) {
    expect_close(memory.get(static_cast<float*>(on_device), c.rows * c.cols), wanted, naive);
  } else {
    expect_close(widened(memory.get(static_cast<bf16*>(on_device), c.rows * c.cols)), wanted, widened(rounded(naive)));
  }
}

TEST_P(MemoryBankTest, UpdateMixesAndNormalises) {
  for (const UpdateCase& c : std::vector<UpdateCase>{{.batch = 0, .rows = 5, .cols = 4},
                                                     {.batch = 1, .rows = 1, .cols = 1},
                                                     {.batch = 2, .rows = 30, .cols = 3, .momentum = 0.9f},
                                                     {.batch = 31, .rows = 200, .cols = 31, .ld = 33},
                                                     {.batch = 33, .rows = 200, .cols = 32, .momentum = 0.8f, .ld = 36},
                                                     {.batch = 120, .rows = 400, .cols = 128},
                                                     {.batch = 5, .rows = 40, .cols = 64, .misalign = 1},
                                                     {.batch = 3, .rows = 10, .cols = 514},
                                                     // More rows than the bank has: the last of each counts.
                                                     {.batch = 120, .rows = 6, .cols = 20},
                                                     {.batch = 4, .rows = 9, .cols = 7, .momentum = 0.0f},
                                                     {.batch = 4, .rows = 9, .cols = 7, .momentum = 1.0f}}) {
    check_update(GetParam(), c, DType::f32);
    check_update(GetParam(), c, DType::bf16);
  }
}

TEST_P(MemoryBankTest, ARowWithoutLengthStaysFinite) {
  CaseMemory memory(GetParam());
  float* bank = memory.put(std::vector<float>{1.0f, 0.0f, 0.0f, 1.0f});
  const BankUpdateArgs args{.embeddings = memory.put(std::vector<float>{-1.0f, 0.0f}),
                            .index = memory.put(std::vector<std::int32_t>{0}),
                            .momentum = memory.put_one(0.5f),
                            .bank = bank,
                            .batch = 1,
                            .rows = 2,
                            .cols = 2,
                            .embeddings_ld = 2};
  memory.run([&](auto exec) { bank_update(args, exec); });
  EXPECT_EQ(memory.get(bank, 4), (std::vector<float>{0.0f, 0.0f, 0.0f, 1.0f}));
}

SWATH_KERNEL_PLACES(MemoryBankTest);

}  // namespace
}  // namespace swath::kernels::test
