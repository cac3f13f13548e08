#include "tests/data/fixtures.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "data/rgb_file.h"

namespace swath::test {

namespace fs = std::filesystem;

TempFolder::TempFolder() {
  std::string pattern = (fs::temp_directory_path() / "swath-test-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}
TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void write_text(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

std::string read_whole(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

void flip_byte(const std::string& path, std::int64_t offset) {
  std::string bytes = read_whole(path);
  const std::size_t at = offset >= 0 ? static_cast<std::size_t>(offset) : bytes.size() - static_cast<std::size_t>(-offset);
  bytes.at(at) = static_cast<char>(bytes[at] ^ 0x10);
  write_text(path, bytes);
}

void cut(const std::string& path, std::int64_t bytes) {
  fs::resize_file(path, fs::file_size(path) - static_cast<std::uintmax_t>(bytes));
}

std::vector<std::uint8_t> picture(std::int64_t height, std::int64_t width, std::uint32_t seed) {
  std::vector<std::uint8_t> pixels;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        const double wave =
            std::sin(0.07 * static_cast<double>(x) * (c + 1) + seed) * std::cos(0.05 * static_cast<double>(y) + 0.3 * c);
        pixels.push_back(static_cast<std::uint8_t>(128 + 100 * wave));
      }
  return pixels;
}

void write_picture(const std::string& path, std::int64_t height, std::int64_t width, std::uint32_t seed) {
  const auto jpeg = encode_jpeg(picture(height, width, seed).data(), height, width, 90);
  write_text(path, std::string(jpeg.begin(), jpeg.end()));
}

FakeDataset::FakeDataset(LabelMasks labels, std::vector<std::int64_t> failing) : failing_(std::move(failing)) {
  name_ = "fake";
  root_ = "fake";
  image_ = {.height = 4, .width = 4, .channels = 3, .dtype = kernels::DType::u8, .bands = rgb_bands()};
  for (std::int64_t c = 0; c < labels.classes(); ++c) class_names_.push_back("class" + std::to_string(c));
  for (std::int64_t i = 0; i < labels.rows(); ++i) ids_.push_back("image" + std::to_string(100000 + i));
  labels_ = std::move(labels);
}

std::uint8_t FakeDataset::pixel(std::int64_t image, std::int64_t position) {
  return static_cast<std::uint8_t>(image * 31 + position * 7 + (image >> 3));
}

void FakeDataset::read(std::int64_t i, void* pixels) const {
  if (on_read) on_read(i);
  if (std::find(failing_.begin(), failing_.end(), i) != failing_.end())
    throw DataError(ids_[static_cast<std::size_t>(i)] + " is broken");
  for (std::int64_t p = 0; p < 48; ++p) static_cast<std::uint8_t*>(pixels)[p] = pixel(i, p);
}

LabelMasks patterned_labels(std::int64_t n, std::int64_t classes) {
  LabelMasks labels(n, classes);
  for (std::int64_t i = 0; i < n; ++i) {
    labels.set(i, i % classes);
    if (i % 5 == 0) labels.set(i, 0);
  }
  return labels;
}

Prepared fake_prepared(std::int64_t n, std::int64_t classes, std::vector<std::int64_t> failing) {
  Prepared prepared;
  prepared.dataset = std::make_unique<FakeDataset>(patterned_labels(n, classes), std::move(failing));
  for (std::int64_t i = 0; i < n; ++i)
    prepared.splits[i % 4 < 2 ? Part::train : i % 4 == 2 ? Part::val : Part::test].push_back(i);
  prepared.filter.kept.resize(static_cast<std::size_t>(classes));
  std::iota(prepared.filter.kept.begin(), prepared.filter.kept.end(), 0);
  prepared.filter.kept_names = prepared.dataset->class_names();
  prepared.max_unreadable_share = 0.1;
  return prepared;
}

std::string real_data() {
  const char* folder = std::getenv("SWATH_DATA");
  return folder ? folder : "";
}

bool run_peer(const std::string& script, const std::vector<std::string>& arguments) {
  const char* python = std::getenv("SWATH_PEERS_PYTHON");
  if (!python) return false;
  const TempFolder folder;
  write_text(folder / "peer.py", script);
  std::vector<std::string> words{python, folder / "peer.py"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    execv(python, argv.data());
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) throw std::runtime_error("the peer's interpreter cannot be started");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error("the peer's script failed; does the Python of SWATH_PEERS_PYTHON have the peers' packages?");
  return true;
}

}  // namespace swath::test
