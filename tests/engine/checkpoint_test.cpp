// Checkpoints: exact round trip, corruption falls back, mismatches are named, kill -9 never loses the last one.
#include "engine/io/checkpoint.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <map>

#include "engine/core/config.h"
#include "engine/device/device.h"
#include "engine/io/file.h"
#include "tests/engine/io_test_helpers.h"

namespace swath {
namespace {

struct State {
  Tensor weight;
  std::int64_t step = 0;
  std::uint64_t key = UINT64_MAX;
  double scale = 0.1;
  std::string history = "[1, \"two\"]";
  void visit(StateVisitor& v) {
    v.tensor("model.weight", weight);
    v.scalar("step", step);
    v.scalar("key", key);
    v.scalar("scale", scale);
    v.scalar("history", history);
  }
  VisitState visitor() {
    return [this](StateVisitor& v) { visit(v); };
  }
};

struct Checkpoint : testing::Test {
  State make(float value, Shape shape = {2, 3}) {
    State state;
    state.weight = Tensor::from_host(*device, shape, std::vector<float>(static_cast<std::size_t>(shape.numel()), value));
    state.step = static_cast<std::int64_t>(value);
    return state;
  }
  CheckpointInfo info(std::int64_t step) const { return {step, "{\"a\": 1}", {"water"}, {"B02", "B03"}}; }
  std::shared_ptr<Device> device = Device::open("cpu");
  test::Folder folder;
};

TEST_F(Checkpoint, RoundTripsExactly) {
  const std::string path = folder / "a.safetensors";
  State saved = make(7), loaded = make(0);
  saved.scale = 0x1.fffffffffffffp-3;
  loaded.key = 0, loaded.history.clear();
  save_checkpoint(path, info(7), saved.visitor());
  const CheckpointInfo got = load_checkpoint(path, loaded.visitor());
  EXPECT_EQ(got.step, 7);
  EXPECT_EQ(got.config, "{\"a\": 1}");
  EXPECT_EQ(got.bands, (std::vector<std::string>{"B02", "B03"}));
  EXPECT_EQ(loaded.weight.to_host<float>(), saved.weight.to_host<float>());
  EXPECT_EQ(loaded.key, UINT64_MAX);
  EXPECT_EQ(loaded.scale, saved.scale);
  EXPECT_EQ(loaded.history, saved.history);
}

TEST_F(Checkpoint, NamesWhatDoesNotFitAndFillsNothing) {
  const std::string path = folder / "a.safetensors";
  save_checkpoint(path, info(7), make(7).visitor());
  State wider = make(1, {2, 4});
  const std::string sentence = test::data_error([&] { load_checkpoint(path, wider.visitor()); });
  EXPECT_NE(sentence.find("model.weight is F32 2x3 instead of F32 2x4"), std::string::npos) << sentence;
  State other = make(1);
  const std::string names =
      test::data_error([&] { load_checkpoint(path, [&](StateVisitor& v) { v.tensor("model.other", other.weight); }); });
  EXPECT_NE(names.find("missing: model.other"), std::string::npos) << names;
  EXPECT_NE(names.find("surplus: model.weight"), std::string::npos) << names;
  EXPECT_EQ(other.weight.to_host<float>()[0], 1.0f);
}

TEST_F(Checkpoint, EveryFlippedByteFallsBackToTheOneBefore) {
  CheckpointStore store(folder / "c");
  store.save(info(1), make(1).visitor());
  const std::string newest = store.save(info(2), make(2).visitor()), sound = test::get(newest);
  for (std::size_t at = 0; at <= sound.size(); ++at) {
    std::string bytes = sound;
    if (at < sound.size())
      bytes[at] = static_cast<char>(bytes[at] ^ 1);
    else
      bytes.pop_back();
    test::put(newest, bytes);
    State state = make(0);
    testing::internal::CaptureStderr();
    const std::int64_t step = store.load_latest(state.visitor()).step;
    const std::string warning = testing::internal::GetCapturedStderr();
    EXPECT_EQ(step, state.step) << at;
    EXPECT_EQ(state.weight.to_host<float>()[0], static_cast<float>(step)) << at;
    if (step == 1) {
      EXPECT_NE(warning.find("step-000000002"), std::string::npos) << at;
    } else {
      ADD_FAILURE() << "a flip at byte " << at << " was not seen: " << sound.substr(at > 20 ? at - 20 : 0, 40);
    }
  }
}

TEST_F(Checkpoint, WhereNoneCanBeReadAllStayAndEveryAttemptSaysSo) {
  CheckpointStore store(folder / "c");
  for (int step = 1; step <= 2; ++step) test::put(store.save(info(step), make(static_cast<float>(step)).visitor()), "x");
  State state = make(0);
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_NE(test::data_error([&] { store.load_latest(state.visitor()); }).find("no checkpoint in"), std::string::npos);
    EXPECT_EQ(store.newest_first().size(), 2u);
  }
}

TEST_F(Checkpoint, OneThatCannotBeReadHereIsNoCorruptOne) {
  CheckpointStore store(folder / "c");
  store.save(info(1), make(1).visitor());
  std::filesystem::create_directory(folder / "c/step-000000002.safetensors");
  State state = make(0);
  EXPECT_NE(test::data_error([&] { store.load_latest(state.visitor()); }).find("step-000000002"), std::string::npos);
  EXPECT_EQ(store.newest_first().size(), 2u);
}

/// The bytes of a checkpoint with another value of its metadata, and the checksum that belongs to it.
std::string with_metadata(const std::string& bytes, const std::string& key, const std::string& value) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  Json header = Json::parse(bytes.substr(sizeof length, length));
  Json& metadata = header.at("__metadata__");
  metadata[key] = value;
  metadata.erase("xxh3");
  std::string text;
  for (const auto& [name, entry] : std::map<std::string, std::string>(metadata)) text += name + '\n' + entry + '\n';
  metadata["xxh3"] = fmt::format("{:016x}", checksum(text.data(), text.size()));
  std::string written = header.dump();
  written.resize((written.size() + 7) / 8 * 8, ' ');
  const std::uint64_t now = written.size();
  return std::string(reinterpret_cast<const char*>(&now), sizeof now) + written + bytes.substr(sizeof length + length);
}

TEST_F(Checkpoint, OneOfAnotherFormatIsNamedAndStays) {
  CheckpointStore store(folder / "c");
  store.save(info(1), make(1).visitor());
  const std::string newest = store.save(info(2), make(2).visitor()), ours = test::get(newest);
  State state = make(0);
  test::put(newest, with_metadata(ours, "format", "swath-1"));
  const std::string sentence = test::data_error([&] { store.load_latest(state.visitor()); });
  EXPECT_NE(sentence.find("has the checkpoint format swath-1; this version reads swath-2"), std::string::npos) << sentence;
  EXPECT_EQ(store.newest_first().size(), 2u);
  test::put(newest, with_metadata(ours, "step", "2"));
  EXPECT_EQ(store.load_latest(state.visitor()).step, 2) << "the checksum is that of the program";
}

TEST_F(Checkpoint, ADamagedOneIsSetAsideWhereAskedAndAnOlderOneIsSound) {
  CheckpointStore store(folder / "c");
  store.save(info(1), make(1).visitor());
  test::put(store.save(info(2), make(2).visitor()), "x");
  State state = make(0);
  EXPECT_EQ(store.load_latest(state.visitor(), CheckpointStore::Damaged::left).step, 1);
  EXPECT_EQ(store.newest_first().size(), 2u);
  EXPECT_EQ(store.load_latest(state.visitor()).step, 1);
  EXPECT_EQ(store.newest_first().size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(folder / "c/step-000000002.safetensors.corrupt"));
}

TEST_F(Checkpoint, KeepsTheNewest) {
  CheckpointStore store(folder / "c");
  EXPECT_TRUE(store.empty());
  for (int step = 1; step <= 4; ++step) store.save(info(step), make(static_cast<float>(step)).visitor());
  store.save_best(info(2), make(2).visitor());
  EXPECT_FALSE(std::filesystem::exists(folder / "c/step-000000002.safetensors"));
  EXPECT_TRUE(std::filesystem::exists(folder / "c/step-000000003.safetensors"));
  State state = make(0);
  EXPECT_EQ(store.load_latest(state.visitor()).step, 4);
  EXPECT_EQ(read_checkpoint_info(store.best_or_latest()).step, 2);
}

TEST_F(Checkpoint, SurvivesKill9) {
  CheckpointStore store(folder / "c");
  store.save(info(1), make(1).visitor());
  std::int64_t before = 1;
  for (int round = 0; round < 40; ++round) {
    State next = make(static_cast<float>(before), {2, 3});
    const pid_t child = fork();
    if (child == 0) {
      for (std::int64_t step = before + 1;; ++step) {
        next.step = step;
        store.save(info(step), next.visitor());
      }
    }
    ::usleep(static_cast<useconds_t>(1000 + round * 977 % 20000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    State loaded = make(0);
    const std::int64_t step = store.load_latest(loaded.visitor()).step;
    EXPECT_GE(step, before);
    EXPECT_EQ(loaded.step, step);
    before = step;
  }
}

}  // namespace
}  // namespace swath
