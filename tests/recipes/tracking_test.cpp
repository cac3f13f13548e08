// The formats of the logs, byte by byte: checksums against their definitions, messages against the encoding's documentation,
// chunks against a reader of LevelDB's log format. The official readers follow in tests/apps/tracking_test.py.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "engine/core/error.h"
#include "recipes/tracking/append_file.h"
#include "recipes/tracking/crc.h"
#include "recipes/tracking/options.h"
#include "recipes/tracking/protobuf.h"
#include "recipes/tracking/wandb.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

/// Division of polynomials over GF(2), bit by bit, as RFC 3720 defines it: bits of a byte from the lowest on.
std::uint32_t remainder_of(std::uint32_t polynomial, std::string_view bytes) {
  std::uint32_t state = 0xFFFFFFFF;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool in = static_cast<unsigned char>(c) >> bit & 1, out = state >> 31;
      state <<= 1;
      if (in != out) state ^= polynomial;
    }
  }
  std::uint32_t reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (state >> bit & 1) << (31 - bit);
  return ~reversed;
}

std::string sample_bytes(std::size_t count) {
  std::string bytes;
  std::uint32_t state = 12345;
  while (bytes.size() < count) bytes += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

TEST(Crc, PublishedValues) {
  EXPECT_EQ(crc32("123456789"), 0xCBF43926u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32(""), 0u);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(Crc, EqualsTheDivision) {
  for (const std::size_t count : {1, 2, 7, 8, 9, 255, 256, 4096}) {
    const std::string bytes = sample_bytes(count);
    EXPECT_EQ(crc32(bytes), remainder_of(0x04C11DB7, bytes)) << count;
    EXPECT_EQ(crc32c(bytes), remainder_of(0x1EDC6F41, bytes)) << count;
  }
}

TEST(Protobuf, DocumentedEncodings) {
  using namespace std::string_literals;
  EXPECT_EQ(ProtoMessage().integer(1, 150).bytes(), "\x08\x96\x01"s);
  EXPECT_EQ(ProtoMessage().text(2, "testing").bytes(), "\x12\x07testing"s);
  EXPECT_EQ(ProtoMessage().message(3, ProtoMessage().integer(1, 150)).bytes(), "\x1a\x03\x08\x96\x01"s);
  EXPECT_EQ(ProtoMessage().integer(1, -2).bytes(), "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);
  EXPECT_EQ(ProtoMessage().integer(1, 0).bytes(), "\x08\x00"s);
  EXPECT_EQ(ProtoMessage().number(1, 1.0).bytes(), "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"s);
  EXPECT_EQ(ProtoMessage().number(2, 1.0f).bytes(), "\x15\x00\x00\x80\x3f"s);
  EXPECT_EQ(ProtoMessage().text(16, "").bytes(), "\x82\x01\x00"s);  // a key of two bytes
}

/// Records of a .wandb file behind its header of 7 bytes; fails on a checksum, a type or padding that does not fit.
std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  std::string record;
  bool open = false;
  for (std::size_t at = 7; at < file.size();) {
    const std::size_t left = 32768 - at % 32768;
    if (left < 7) {
      EXPECT_EQ(file.substr(at, left), std::string(std::min(left, file.size() - at), '\0'));
      at += left;
      continue;
    }
    std::uint32_t crc = 0;
    std::uint16_t length = 0;
    std::memcpy(&crc, &file[at], 4);
    std::memcpy(&length, &file[at + 4], 2);
    const int type = file[at + 6];
    EXPECT_LE(7u + length, left);
    EXPECT_EQ(crc, remainder_of(0x04C11DB7, file.substr(at + 6, 1u + length)));
    EXPECT_EQ(open, type == 3 || type == 4) << at;
    record += file.substr(at + 7, length);
    open = type == 2 || type == 3;
    if (!open) records.push_back(std::exchange(record, ""));
    at += 7u + length;
  }
  EXPECT_FALSE(open);
  return records;
}

TEST(WandbChunks, EveryPlaceInABlock) {
  for (const std::size_t first :
       {0, 1, 32730, 32740, 32746, 32747, 32748, 32749, 32750, 32751, 32752, 32753, 32754, 32755, 32768}) {
    std::vector<std::string> wanted{sample_bytes(first), "x", sample_bytes(100), "", sample_bytes(100000)};
    std::string file(7, 'h');
    for (const std::string& record : wanted) file += wandb_chunks(record, file.size());
    EXPECT_EQ(records_of(file), wanted) << first;
  }
}

class AppendFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("swath-append-" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  static std::string text_of(const fs::path& file) {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  fs::path folder_;
};

TEST_F(AppendFileTest, ReplacesAndGrows) {
  std::ofstream(folder_ / "log") << "of an earlier run";
  AppendFile file(folder_ / "log", "ab");
  EXPECT_EQ(text_of(folder_ / "log"), "ab");
  file.append("cde");
  EXPECT_EQ(text_of(folder_ / "log"), "abcde");
  EXPECT_EQ(file.size(), 5u);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1) << "nothing else is left";
}

TEST_F(AppendFileTest, AFolderThatIsNotThere) { EXPECT_THROW(AppendFile(folder_ / "absent" / "log", ""), DataError); }

TEST(Tracking, AProjectThatWandbWouldRefuse) {
  for (const std::string& project : std::vector<std::string>{"", "a/b", "50%", std::string(129, 'x')}) {
    TrackingOptions options;
    options.project = project;
    EXPECT_NO_THROW(check_tracking(options)) << "without W&B the key has no meaning";
    options.wandb = "offline";
    try {
      check_tracking(options);
      FAIL() << project;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find("tracking.project"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace swath
