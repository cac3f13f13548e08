// Logarithm, exponential and density of distances against double, and their bits on both devices. methods.md §5.
#include <bit>
#include <limits>

#include "tests/kernels/kernel_case.h"
#include "tests/kernels/sphere_density_values.h"
#include "tests/reference/sphere_density.h"

namespace swath::kernels::test {
namespace {

class SphereDensityTest : public KernelTest {};

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Values {
  std::vector<float> log, exp, log_density;
};

Values run(Place place, const std::vector<float>& x, const SphereDensity& sphere) {
  CaseMemory memory(place);
  const auto n = static_cast<std::int64_t>(x.size());
  const SphereDensityValuesArgs args{.x = memory.put(x),
                                     .log = memory.make_output<float>(n),
                                     .exp = memory.make_output<float>(n),
                                     .log_density = memory.make_output<float>(n),
                                     .n = n,
                                     .sphere = sphere};
  memory.run([&](auto exec) { sphere_density_values(args, exec); });
  return {memory.get(args.log, n), memory.get(args.exp, n), memory.get(args.log_density, n)};
}

/// |got − reference| in units of the last place of the reference.
double ulps(float got, double reference) {
  if (reference == 0) return got == 0.0f ? 0 : 1e30;
  int exponent = 0;
  std::frexp(reference, &exponent);
  return std::abs(static_cast<double>(got) - reference) / std::ldexp(1.0, exponent - 24);
}

/// Every `stride`-th float from `low` to `high`, both positive.
std::vector<float> floats_between(float low, float high, std::uint32_t stride) {
  std::vector<float> x;
  for (std::uint32_t b = std::bit_cast<std::uint32_t>(low); b <= std::bit_cast<std::uint32_t>(high); b += stride) {
    x.push_back(std::bit_cast<float>(b));
  }
  return x;
}

TEST(SphereDensityAccuracy, LogIsWithinOneUlp) {
  std::vector<float> x = floats_between(std::numeric_limits<float>::min(), std::numeric_limits<float>::max(), 9973);
  const std::vector<float> near_one = floats_between(0.5f, 2.0f, 31);
  x.insert(x.end(), near_one.begin(), near_one.end());
  const std::vector<float> got = run(Place::cpu, x, sphere_density(8, 0.5f)).log;
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, ulps(got[i], std::log(static_cast<double>(x[i]))));
  EXPECT_LE(worst, 1.0);
}

TEST(SphereDensityAccuracy, ExpIsWithinALittleMoreThanOneUlp) {
  std::vector<float> x = floats_between(1e-9f, 87.3365f, 211);
  const std::size_t positive = x.size();
  for (std::size_t i = 0; i < positive; ++i) x.push_back(-x[i]);
  x.insert(x.end(), {0.0f, 88.7f, 88.72283f});
  const std::vector<float> got = run(Place::cpu, x, sphere_density(8, 0.5f)).exp;
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, ulps(got[i], std::exp(static_cast<double>(x[i]))));
  EXPECT_LE(worst, 1.01);
}

TEST_P(SphereDensityTest, EndsOfTheRange) {
  const std::vector<float> x = {0.0f, -1.0f, 1e-40f, kInf, -kInf, kNan, 1.0f, 88.73f, -87.34f};
  const Values got = run(GetParam(), x, sphere_density(8, 0.5f));
  for (const int i : {0, 1, 2, 4}) EXPECT_EQ(got.log[i], -kInf) << x[i];
  EXPECT_EQ(got.log[3], kInf);
  EXPECT_TRUE(std::isnan(got.log[5]));
  EXPECT_EQ(got.log[6], 0.0f);
  EXPECT_EQ(got.exp[0], 1.0f);
  EXPECT_EQ(got.exp[3], kInf);
  EXPECT_EQ(got.exp[4], 0.0f);
  EXPECT_TRUE(std::isnan(got.exp[5]));
  EXPECT_EQ(got.exp[7], kInf);
  EXPECT_EQ(got.exp[8], 0.0f);
  const float at_cutoff = run(GetParam(), {0.5f}, sphere_density(8, 0.5f)).log_density[0];
  for (const int i : {0, 1, 5}) EXPECT_EQ(got.log_density[i], at_cutoff) << x[i];
}

TEST_P(SphereDensityTest, DensityMatchesReference) {
  std::vector<float> x = floats_between(0.001f, 2.0f, 70001);
  x.insert(x.end(), {0.0f, 0.5f, 1.4142135f, 1.9999f, 2.0f, 2.5f});
  for (const std::int64_t width : {1, 2, 3, 4, 128, 512, 2048}) {
    for (const float cutoff : {0.5f, 0.01f}) {
      SCOPED_TRACE(::testing::Message() << width << " columns, cut off at " << cutoff);
      const std::vector<float> got = run(GetParam(), x, sphere_density(width, cutoff)).log_density;
      std::vector<float> naive;
      std::vector<double> expected;
      for (const float d : x) {
        naive.push_back(reference::log_density<float>(d, width, cutoff));
        expected.push_back(reference::log_density<double>(d, width, cutoff));
      }
      expect_close(got, expected, naive);
    }
  }
}

TEST_P(SphereDensityTest, BitsAreTheHosts) {
  std::vector<float> x = floats_between(std::numeric_limits<float>::min(), std::numeric_limits<float>::max(), 1'000'003);
  const std::vector<float> middle = floats_between(0.1f, 4.0f, 30'011);
  x.insert(x.end(), middle.begin(), middle.end());
  const std::size_t positive = x.size();
  for (std::size_t i = 0; i < positive; ++i) x.push_back(-x[i]);
  const auto expect_equal = [&](const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
  };
  for (const std::int64_t width : {2, 127, 512}) {
    const Values host = run(Place::cpu, x, sphere_density(width, 0.5f)), got = run(GetParam(), x, sphere_density(width, 0.5f));
    expect_equal(got.log, host.log);
    expect_equal(got.exp, host.exp);
    expect_equal(got.log_density, host.log_density);
  }
}

SWATH_KERNEL_PLACES(SphereDensityTest);

}  // namespace
}  // namespace swath::kernels::test
