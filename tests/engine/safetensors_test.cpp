// safetensors files: round trips, the PyPI package in both directions, and hostile headers.
#include "engine/io/safetensors.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "tests/engine/io_test_helpers.h"

namespace swath {
namespace {

using test::data_error;

template <class T>
SafetensorsItem item(const std::string& name, const std::string& dtype, std::vector<std::int64_t> shape,
                     std::vector<T> values) {
  const std::size_t bytes = values.size() * sizeof(T);
  return {name, dtype, std::move(shape), bytes, [values, bytes](std::uint8_t* to) {
            if (bytes) std::memcpy(to, values.data(), bytes);
          }};
}

std::vector<SafetensorsItem> sample() {
  std::vector<float> ramp;
  for (int i = 0; i < 12; ++i) ramp.push_back(0.5f * static_cast<float>(i));
  return {item<float>("a.weight", "F32", {3, 4}, ramp), item<std::int64_t>("b.count", "I64", {2}, {-5, 7}),
          item<std::uint8_t>("c.bytes", "U8", {5}, {0, 1, 2, 3, 4}), item<float>("d.empty", "F32", {0, 4}, {})};
}

std::string bytes_of(const std::string& header, const std::string& data = "") {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + data;
}

TEST(Safetensors, RoundTrips) {
  const test::Folder folder;
  write_safetensors(folder / "a.safetensors", sample(), {{"who", "swath"}});
  const SafetensorsFile file = SafetensorsFile::open(folder / "a.safetensors");
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a.weight", "b.count", "c.bytes", "d.empty"}));
  EXPECT_EQ(file.metadata().at("who"), "swath");
  EXPECT_EQ(file.shape("a.weight"), (std::vector<std::int64_t>{3, 4}));
  EXPECT_EQ(file.to_float("a.weight")[11], 5.5f);
  EXPECT_EQ(file.bytes("d.empty"), 0u);
  EXPECT_NE(data_error([&] { file.to_float("b.count"); }).find("b.count"), std::string::npos);
  EXPECT_NE(data_error([&] { file.shape("absent"); }).find("absent"), std::string::npos);
}

TEST(Safetensors, RefusesHostileFiles) {
  const test::Folder folder;
  const std::string path = folder / "bad.safetensors", four = "wxyz";
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"t\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  const std::string u8 = "{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":";
  test::put(path, bytes_of(one("F32", "[1]", "[0,4]"), four));
  ASSERT_EQ(SafetensorsFile::open(path).names().size(), 1u);
  const std::vector<std::string> bad = {"",
                                        "1234567",
                                        std::string(8, '\xff'),
                                        bytes_of("{}").substr(0, 9),
                                        bytes_of(""),
                                        bytes_of("[]"),
                                        bytes_of(" {}"),
                                        bytes_of("{"),
                                        bytes_of("{}", "x"),
                                        bytes_of("{\"t\":1}"),
                                        bytes_of("{\"t\":{}}"),
                                        bytes_of(one("F32", "[1]", "[0,4]"), "wxy"),
                                        bytes_of(one("F32", "[1]", "[0,4]"), "wxyzw"),
                                        bytes_of(one("Q9", "[4]", "[0,4]"), four),
                                        bytes_of(one("F32", "[2]", "[0,4]"), four),
                                        bytes_of(one("F32", "[-1]", "[0,4]"), four),
                                        bytes_of(one("F32", "[1.0]", "[0,4]"), four),
                                        bytes_of(one("F32", "[4611686018427387905]", "[0,4]"), four),
                                        bytes_of(one("F32", "[1]", "[4,0]"), four),
                                        bytes_of(one("F32", "[18446744073709551615,4]", "[0,4]"), four),
                                        bytes_of(one("F32", "[1]", "[0]"), four),
                                        bytes_of(one("F32", "[1]", "[0,18446744073709551615]"), four),
                                        bytes_of(one("U8", "[2]", "[2,4]"), four),
                                        bytes_of("{\"a\":" + u8 + "[0,2]},\"b\":" + u8 + "[1,3]}}", "xyz"),
                                        bytes_of("{\"a\":" + u8 + "[0,2]},\"a\":" + u8 + "[2,4]}}", four),
                                        bytes_of("{\"a\":" + u8 + "[0,2]},\"b\":" + u8 + "[3,5]}}", "vwxyz"),
                                        bytes_of("{\"__metadata__\":{\"k\":1}}"),
                                        bytes_of("{\"__metadata__\":[]}"),
                                        bytes_of("{\"\xff\":{}}"),
                                        bytes_of("{\"a\":" + std::string(100000, '[') + "}")};
  for (const std::string& bytes : bad) {
    test::put(path, bytes);
    EXPECT_NE(data_error([&] { SafetensorsFile::open(path); }).find("bad.safetensors"), std::string::npos)
        << bytes.substr(0, 90);
  }
}

TEST(Safetensors, AgreesWithThePackage) {
  const test::Folder folder;
  const std::string path = folder / "a.safetensors";
  const int status = test::peer("safetensors_compare.py", "write " + path);
  if (status < 0) GTEST_SKIP() << "SWATH_PEERS_PYTHON names no python";
  ASSERT_EQ(status, 0);
  const SafetensorsFile file = SafetensorsFile::open(path);
  EXPECT_EQ(file.metadata().at("who"), "peer");
  EXPECT_EQ(file.to_float("a.weight")[11], 5.5f);
  EXPECT_EQ(file.to_float("e.half"), (std::vector<float>{0.5f, -2, 65504, 0x1p-24f}));
  EXPECT_EQ(file.to_float("f.double"), (std::vector<float>{0.25f, -3}));
  write_safetensors(path, sample(), {{"who", "swath"}});
  EXPECT_EQ(test::peer("safetensors_compare.py", "check " + path), 0);
}

TEST(AtomicFile, LosesNothingWhenTheDiskIsFull) {
  const test::Folder folder;
  const std::string path = folder / "kept.txt";
  atomic_write(path, "old");
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string sentence = data_error([&] { atomic_write(path, std::string(100000, 'x')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(sentence.find("kept.txt"), std::string::npos);
  EXPECT_NE(sentence.find("free some space"), std::string::npos);
  EXPECT_EQ(test::get(path), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  EXPECT_NE(data_error([&] { atomic_write(folder / "absent/a", "x"); }).find("absent/a"), std::string::npos);
}

TEST(AtomicFile, SeveralThatWriteAtOnceLeaveAWholeOne) {
  const test::Folder folder;
  const std::string path = folder / "shared.bin";
  const std::string ones(5000, '1'), twos(7000, '2');
  AtomicFile first(path);
  first.write(ones.data(), 1000);
  AtomicFile second(path);
  second.write(twos.data(), 1000);
  first.write(ones.data(), 4000);
  first.commit();
  EXPECT_EQ(test::get(path), ones);
  second.write(twos.data(), 6000);
  second.commit();
  EXPECT_EQ(test::get(path), twos);
  // What a killed process has left is written anew.
  test::put(path + ".tmp", "half");
  atomic_write(path, ones);
  EXPECT_EQ(test::get(path), ones);
  // One whose temporary was removed meanwhile takes no other's.
  {
    AtomicFile late(path);
    std::filesystem::rename(path + ".tmp", folder / "elsewhere");
    test::put(path + ".tmp", "another's");
    EXPECT_NE(data_error([&] { late.commit(); }).find("shared.bin"), std::string::npos);
  }
  EXPECT_EQ(test::get(path), ones);
  EXPECT_EQ(test::get(path + ".tmp"), "another's");
}

TEST(FileLock, IsExclusive) {
  const test::Folder folder;
  {
    const FileLock lock(folder / "lock");
    EXPECT_THROW(FileLock(folder / "lock"), UserError);
    EXPECT_TRUE(FileLock::held(folder / "lock"));
  }
  EXPECT_FALSE(FileLock::held(folder / "lock"));
  EXPECT_FALSE(FileLock::held(folder / "absent"));
  EXPECT_NO_THROW(FileLock(folder / "lock"));
}

}  // namespace
}  // namespace swath
