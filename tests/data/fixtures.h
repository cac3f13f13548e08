// What the data tests share: a temporary folder, small archives made on the fly, peers in Python.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/pack.h"
#include "engine/core/error.h"

namespace swath::test {

/// A folder that is removed with the object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write_text(const std::string& path, const std::string& text);
std::string read_whole(const std::string& path);
/// Changes one bit of byte `offset`; a negative offset counts from the end.
void flip_byte(const std::string& path, std::int64_t offset);
void cut(const std::string& path, std::int64_t bytes);

/// height × width × 3 bytes of a smooth pattern that depends on `seed`.
std::vector<std::uint8_t> picture(std::int64_t height, std::int64_t width, std::uint32_t seed);
void write_picture(const std::string& path, std::int64_t height, std::int64_t width, std::uint32_t seed);

/// An archive in memory: 4 × 4 × 3 pixels per image, labels as given; `failing` images cannot be read.
class FakeDataset final : public Dataset {
 public:
  FakeDataset(LabelMasks labels, std::vector<std::int64_t> failing = {});
  void read(std::int64_t i, void* pixels) const override;
  static std::uint8_t pixel(std::int64_t image, std::int64_t position);
  /// Called before each read.
  std::function<void(std::int64_t)> on_read;

 private:
  std::vector<std::int64_t> failing_;
};

/// n images; image i carries class i % classes, and class 0 as well when i is a multiple of 5.
LabelMasks patterned_labels(std::int64_t n, std::int64_t classes);
/// A fake archive cut into train (half), val, test (a quarter each), all classes kept.
Prepared fake_prepared(std::int64_t n, std::int64_t classes, std::vector<std::int64_t> failing = {});

/// Folder of real data, or empty.
std::string real_data();
/// Runs a Python script with the peers' interpreter; false when there is none. Throws, which ends the test as failed, when the
/// script fails.
bool run_peer(const std::string& script, const std::vector<std::string>& arguments);

/// Runs f, which must throw E whose message holds every word.
template <class E>
void expect_throw(const std::function<void()>& f, const std::vector<std::string>& words, ExitCode code) {
  try {
    f();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& e) {
    EXPECT_EQ(e.code(), code);
    for (const std::string& word : words)
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what() << " lacks " << word;
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << "not one line: " << e.what();
  }
}
inline void expect_data_error(const std::function<void()>& f, const std::vector<std::string>& words) {
  expect_throw<DataError>(f, words, ExitCode::data);
}
inline void expect_user_error(const std::function<void()>& f, const std::vector<std::string>& words) {
  expect_throw<UserError>(f, words, ExitCode::usage);
}

}  // namespace swath::test
