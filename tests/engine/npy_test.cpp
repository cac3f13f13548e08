// npy files: round trips, NumPy in both directions, and hostile headers.
#include "engine/io/npy.h"

#include <numeric>

#include "tests/engine/io_test_helpers.h"

namespace swath {
namespace {

using test::data_error;

template <class T>
std::vector<T> ramp() {
  std::vector<T> values;
  for (int i = 0; i < 24; ++i) values.push_back(static_cast<T>(i * 3 % 251));
  return values;
}

std::string npy(const std::string& header, const std::string& data, int version = 1) {
  std::string out = "\x93NUMPY";
  out += static_cast<char>(version);
  out += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return out + header + data;
}

TEST(Npy, RoundTripsEveryShape) {
  const test::Folder folder;
  const std::string path = folder / "a.npy";
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{}, {0}, {1}, {33}, {3, 0, 2}, {2, 3, 4}}) {
    std::vector<float> values(
        static_cast<std::size_t>(std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>())));
    std::iota(values.begin(), values.end(), 0.5f);
    write_npy(path, shape, values.data());
    const NpyFile file = NpyFile::open(path);
    EXPECT_EQ(file.shape(), shape);
    EXPECT_EQ(file.values<float>(), values);
    EXPECT_NE(data_error([&] { file.values<std::int64_t>(); }).find("a.npy"), std::string::npos);
  }
}

TEST(Npy, AppearsOnlyWhenFinished) {
  const test::Folder folder;
  {
    NpyWriter writer(folder / "a.npy", NpyType::u1, {4});
    writer.append("ab", 2);
    EXPECT_THROW(writer.finish(), InternalError);
    EXPECT_THROW(writer.append("abc", 3), InternalError);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_THROW(NpyWriter(folder / "a.npy", NpyType::f4, {INT64_MAX, 8}), UserError);
  EXPECT_THROW(NpyWriter(folder / "a.npy", NpyType::f4, {-1}), UserError);
}

TEST(Npy, RefusesHostileFiles) {
  const test::Folder folder;
  const std::string path = folder / "bad.npy", good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n";
  const std::string data(8, 'x');
  test::put(path, npy(good, data));
  ASSERT_EQ(NpyFile::open(path).shape(), std::vector<std::int64_t>{2});
  const auto shape = [](const std::string& s) { return "{'descr': '<f4', 'fortran_order': False, 'shape': " + s + "}"; };
  const std::vector<std::string> bad = {"",
                                        "\x93NUMPY",
                                        npy(good, data).substr(0, 9),
                                        npy(good, data).substr(0, 40),
                                        npy(good, "xxxx"),
                                        npy(good, data + "y"),
                                        npy(good, data, 3),
                                        npy("", ""),
                                        npy("{}", ""),
                                        npy("{", ""),
                                        npy("{'", ""),
                                        npy(shape("(4611686018427387904,4)"), data),
                                        npy(shape("(99999999999999999999,)"), data),
                                        npy(shape("(-1,)"), data),
                                        npy(shape("2"), data),
                                        npy(shape("(2"), data),
                                        npy(shape("(2 2)"), data),
                                        npy(shape("(2,)") + "x", data),
                                        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", data),
                                        npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", data),
                                        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", data),
                                        npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", data),
                                        npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", data),
                                        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", data),
                                        npy(std::string(70000, ' ') + good, data, 2)};
  for (const std::string& bytes : bad) {
    test::put(path, bytes);
    EXPECT_NE(data_error([&] { NpyFile::open(path); }).find("bad.npy"), std::string::npos) << bytes.substr(0, 90);
  }
}

template <class T>
void expect_ramp(const std::string& path) {
  const NpyFile file = NpyFile::open(path);
  EXPECT_EQ(file.shape(), (std::vector<std::int64_t>{2, 3, 4})) << path;
  EXPECT_EQ(file.values<T>(), ramp<T>()) << path;
}

TEST(Npy, AgreesWithNumPy) {
  const test::Folder folder;
  const int status = test::peer("npy_compare.py", "write " + folder.path().string());
  if (status < 0) GTEST_SKIP() << "SWATH_PEERS_PYTHON names no python";
  ASSERT_EQ(status, 0);
  for (const std::string end : {".npy", "_v2.npy"}) {
    expect_ramp<float>(folder / ("f4" + end));
    expect_ramp<std::int64_t>(folder / ("i8" + end));
    expect_ramp<std::int32_t>(folder / ("i4" + end));
    expect_ramp<std::uint16_t>(folder / ("u2" + end));
    expect_ramp<std::uint8_t>(folder / ("u1" + end));
  }
  for (const char* name : {"fortran.npy", "object.npy", "big_endian.npy"})
    EXPECT_NE(data_error([&] { NpyFile::open(folder / name); }), "") << name;
  write_npy(folder / "f4.npy", {2, 3, 4}, ramp<float>().data());
  write_npy(folder / "i8.npy", {2, 3, 4}, ramp<std::int64_t>().data());
  write_npy(folder / "i4.npy", {2, 3, 4}, ramp<std::int32_t>().data());
  write_npy(folder / "u2.npy", {2, 3, 4}, ramp<std::uint16_t>().data());
  write_npy(folder / "u1.npy", {2, 3, 4}, ramp<std::uint8_t>().data());
  EXPECT_EQ(test::peer("npy_compare.py", "check " + folder.path().string()), 0);
}

}  // namespace
}  // namespace swath
