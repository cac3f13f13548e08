// Packing: content, resumption after an exception and after SIGKILL, damage of every kind.
#include "data/packed.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "data/file.h"
#include "data/pack.h"
#include "data/pack_job.h"
#include "data/packed_format.h"
#include "tests/data/fixtures.h"

namespace swath::test {

namespace fs = std::filesystem;

namespace {

void expect_pixels(const Prepared& prepared, Part part, const PackedSplit& split,
                   const std::vector<std::int64_t>& left_out = {}) {
  std::int64_t r = 0;
  for (const std::int64_t i : prepared.splits[part]) {
    if (std::count(left_out.begin(), left_out.end(), i)) continue;
    ASSERT_LT(r, split.rows());
    EXPECT_EQ(split.ids()[static_cast<std::size_t>(r)], prepared.dataset->ids()[static_cast<std::size_t>(i)]);
    for (std::int64_t p = 0; p < 48; ++p) ASSERT_EQ(split.row(r)[p], FakeDataset::pixel(i, p)) << "image " << i;
    for (std::int64_t c = 0; c < split.labels().classes(); ++c)
      EXPECT_EQ(split.labels().has(r, c), prepared.dataset->labels().has(i, prepared.filter.kept[static_cast<std::size_t>(c)]));
    ++r;
  }
  EXPECT_EQ(r, split.rows());
}

FakeDataset& fake(Prepared& prepared) { return static_cast<FakeDataset&>(*prepared.dataset); }

}  // namespace

TEST(Pack, HoldsEveryImageAndItsLabels) {
  const TempFolder folder;
  auto prepared = fake_prepared(200, 5);
  prepared.filter.kept = {1, 3, 4};
  prepared.filter.kept_names = {"class1", "class3", "class4"};
  const auto results = pack_all(prepared, folder / "packed", {.workers = 3, .progress = {}});
  EXPECT_EQ(results[0].rows, 100);
  const PackedSet set = open_packed(folder / "packed");
  for (const Part part : kParts) {
    expect_pixels(prepared, part, set[part]);
    set[part].verify();
    EXPECT_EQ(set[part].class_names(), prepared.filter.kept_names);
  }
  EXPECT_EQ(set.train.info().dataset, "fake");
  EXPECT_EQ(set.train.info().part, "train");
  std::vector<std::string> files = list_folder(folder / "packed");
  EXPECT_EQ(files, (std::vector<std::string>{"test.csv", "test.json", "test.npy", "train.csv", "train.json", "train.npy",
                                             "val.csv", "val.json", "val.npy"}));
  EXPECT_EQ(open_or_pack({.packed = folder / "packed"}).val.rows(), 50);
}

TEST(Pack, IsReadByNumPy) {
  const TempFolder folder;
  const auto prepared = fake_prepared(40, 3);
  pack_all(prepared, folder.path());
  const char* script = R"(
import sys, json, numpy as np
x = np.load(sys.argv[1] + '/train.npy', mmap_mode='r')
assert x.shape == (20, 4, 4, 3) and x.dtype == np.uint8, (x.shape, x.dtype)
s = json.load(open(sys.argv[1] + '/train.json'))['content']
assert s['ids'][2] == 'image100004' and s['labels'][0] == [0] and s['bands'] == ['R', 'G', 'B']
assert x[2].ravel()[5] == (4 * 31 + 35) % 256
)";
  if (!run_peer(script, {folder.path()})) GTEST_SKIP() << "SWATH_PEERS_PYTHON is not set";
}

TEST(Pack, IsNotRepeatedForTheSameSource) {
  const TempFolder folder;
  auto prepared = fake_prepared(40, 3);
  EXPECT_FALSE(pack_part(prepared, Part::train, folder.path()).reused);
  fake(prepared).on_read = [](std::int64_t) { FAIL() << "decoded again"; };
  EXPECT_TRUE(pack_part(prepared, Part::train, folder.path()).reused);
  auto other = fake_prepared(40, 3);
  other.filter.kept = {0, 1};
  other.filter.kept_names = {"class0", "class1"};
  EXPECT_FALSE(pack_part(other, Part::train, folder / "other").reused);
  EXPECT_EQ(PackedSplit::open(folder / "other/train").class_names().size(), 2u);
}

TEST(Pack, NeverReplacesAFinishedPackOfAnotherSource) {
  const TempFolder folder;
  pack_all(fake_prepared(40, 3), folder.path());
  const auto contents = [&] {
    std::vector<std::string> all;
    for (const std::string& file : list_folder(folder.path())) all.push_back(file + read_whole(folder / file));
    return all;
  };
  const auto before = contents();
  const std::vector<std::string> words{"train.npy holds a pack of another source, size or split", "data.packed", "delete it"};
  const auto other = fake_prepared(40, 2);
  expect_user_error([&] { pack_part(other, Part::train, folder.path()); }, words);
  expect_user_error([&] { pack_all(other, folder.path()); }, words);
  auto moved = fake_prepared(40, 3);  // train as before, one image of test now in val
  moved.splits[Part::val].push_back(moved.splits[Part::test].back());
  moved.splits[Part::test].pop_back();
  expect_user_error([&] { pack_all(moved, folder.path()); }, {"val.npy holds a pack of another"});
  EXPECT_EQ(contents(), before);
  cut(folder / "train.npy", 1);  // torn pixels do not free the name either
  expect_user_error([&] { pack_all(other, folder.path()); }, words);
}

TEST(Pack, IsVerifiedWhenItIsOpened) {
  const TempFolder folder;
  pack_all(fake_prepared(40, 3), folder.path());
  flip_byte(folder / "val.npy", -1);
  const std::vector<std::string> words{"val.npy is corrupt in rows 0 to 9"};
  expect_data_error([&] { open_packed(folder.path()); }, words);
  expect_data_error([&] { open_or_pack({.packed = folder.path()}, {.workers = 3}); }, words);
  EXPECT_EQ(open_or_pack({.packed = folder.path()}, {.verify = "never"}).val.rows(), 10);
}

TEST(Pack, NamesEveryBadBlockByItsFirst) {
  const TempFolder folder;
  ImageSpec image{.height = 1024, .width = 2048, .channels = 4, .dtype = kernels::DType::u8, .bands = {"a", "b", "c", "d"}};
  PackJob job(folder / "train", image, 5, 1);  // two rows of 8 MiB to a block
  const std::vector<std::uint8_t> row(image.bytes(), 7);
  for (std::int64_t r = 0; r < 5; ++r) job.store(r, row.data());
  PackedInfo info;
  info.dataset = "fake";
  info.part = "train";
  info.image = image;
  info.class_names = {"x"};
  info.ids = {"a", "b", "c", "d", "e"};
  info.labels = LabelMasks(5, 1);
  job.finish(info);
  const auto split = PackedSplit::open(folder / "train");
  for (const int workers : {1, 4}) EXPECT_NO_THROW(split.verify(workers));
  flip_byte(folder / "train.npy", -1);
  expect_data_error([&] { split.verify(4); }, {"rows 4 to 4"});
  flip_byte(folder / "train.npy", 128 + (std::int64_t{3} << 23));
  for (const int workers : {1, 4}) expect_data_error([&] { split.verify(workers); }, {"rows 2 to 3"});
}

TEST(Pack, WithoutAnArchiveTheKeysMustNotContradictIt) {
  const auto make = [](const std::string& path, const std::string& name) {
    pack_all(fake_prepared(40, 3, {}), path);
    for (const Part part : kParts) {
      const std::string stem = path + "/" + name_of(part);
      PackedInfo info = read_sidecar(stem);
      info.dataset = name;
      write_text(stem + ".json", sidecar_text(info));
    }
  };
  const TempFolder folder;
  const std::string mlrsnet = folder / "m", of_19 = folder / "b19", of_43 = folder / "b43";
  make(mlrsnet, "mlrsnet");
  make(of_19, "bigearthnet-19");
  make(of_43, "bigearthnet-43");
  for (const DataOptions& agrees : std::vector<DataOptions>{{.packed = mlrsnet},
                                                            {.packed = of_19},
                                                            {.packed = of_43},
                                                            {.packed = mlrsnet, .image_size = 4},
                                                            {.format = "mlrsnet", .packed = mlrsnet},
                                                            {.packed = mlrsnet, .classes = 19},
                                                            {.packed = of_19, .classes = 19},
                                                            {.format = "bigearthnet", .packed = of_19, .classes = 19},
                                                            {.format = "bigearthnet", .packed = of_43}})
    EXPECT_EQ(open_or_pack(agrees).train.rows(), 20);
  expect_user_error([&] { open_or_pack({.packed = mlrsnet, .image_size = 64}); },
                    {"data.image_size is 64", "train.npy", "4 x 4", "data.root"});
  expect_user_error([&] { open_or_pack({.format = "bigearthnet", .packed = mlrsnet}); },
                    {"data.format is bigearthnet", "the archive mlrsnet"});
  expect_user_error([&] { open_or_pack({.format = "csv", .packed = of_43}); }, {"data.format is csv"});
  expect_user_error([&] { open_or_pack({.packed = of_43, .classes = 19}); },
                    {"data.classes is 19", "the archive bigearthnet-43"});
  expect_user_error([&] { open_or_pack({.format = "bigearthnet", .packed = of_19}); }, {"data.classes is 43"});
}

TEST(Pack, ResumesAfterAnException) {
  const TempFolder folder;
  auto prepared = fake_prepared(400, 3);
  std::atomic<int> reads{0};
  fake(prepared).on_read = [&](std::int64_t) {
    if (++reads > 120) throw std::runtime_error("interrupted");
  };
  EXPECT_THROW(pack_part(prepared, Part::train, folder.path(), {.workers = 2, .progress = {}}), std::runtime_error);
  EXPECT_FALSE(fs::exists(folder / "train.npy"));
  EXPECT_FALSE(fs::exists(folder / "train.json"));
  reads = -1000000;
  const auto result = pack_part(prepared, Part::train, folder.path());
  EXPECT_EQ(result.resumed, 120);
  EXPECT_EQ(reads + 1000000, 80);
  expect_pixels(prepared, Part::train, PackedSplit::open(folder / "train"));
}

TEST(Pack, ResumesAfterSigkill) {
  const TempFolder folder;
  auto prepared = fake_prepared(400, 3);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    fake(prepared).on_read = [](std::int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(30)); };
    pack_part(prepared, Part::train, folder.path(), {.workers = 2, .progress = [](const PackProgress& p) {
                                                       if (p.seconds > 2.5) ::kill(::getpid(), SIGKILL);
                                                     }});
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(fs::exists(folder / "train.npy"));
  const auto result = pack_part(prepared, Part::train, folder.path());
  EXPECT_GT(result.resumed, 50);
  const auto split = PackedSplit::open(folder / "train.npy");
  split.verify();
  expect_pixels(prepared, Part::train, split);
}

TEST(Pack, DoesNotBelieveAJournalWhosePixelsAreLost) {
  const TempFolder folder;
  auto prepared = fake_prepared(40, 3);
  std::atomic<int> reads{0};
  fake(prepared).on_read = [&](std::int64_t) {
    if (++reads > 15) throw std::runtime_error("interrupted");
  };
  EXPECT_THROW(pack_part(prepared, Part::train, folder.path(), {.workers = 1, .progress = {}}), std::runtime_error);
  flip_byte(folder / "train.npy.partial", 128 + 3 * 48 + 7);  // row 3
  fake(prepared).on_read = nullptr;
  EXPECT_EQ(pack_part(prepared, Part::train, folder.path()).resumed, 14);
  expect_pixels(prepared, Part::train, PackedSplit::open(folder / "train"));
}

TEST(Pack, StartsAfreshWhenTheJournalIsOfAnotherSource) {
  for (const bool torn : {false, true}) {
    const TempFolder folder;
    auto prepared = fake_prepared(40, 3);
    fake(prepared).on_read = [reads = std::make_shared<std::atomic<int>>(0)](std::int64_t) {
      if (++*reads > 15) throw std::runtime_error("interrupted");
    };
    EXPECT_THROW(pack_part(prepared, Part::train, folder.path(), {.workers = 1, .progress = {}}), std::runtime_error);
    if (torn) cut(folder / "train.npy.journal", 5);
    auto next = fake_prepared(40, torn ? 3 : 2);
    EXPECT_EQ(pack_part(next, Part::train, folder.path()).resumed, 0);
    expect_pixels(next, Part::train, PackedSplit::open(folder / "train"));
  }
}

TEST(Pack, CompletesTheLastRename) {
  const TempFolder folder;
  auto prepared = fake_prepared(40, 3);
  pack_part(prepared, Part::train, folder.path());
  fs::rename(folder / "train.json", folder / "train.json.new");
  EXPECT_TRUE(pack_part(prepared, Part::train, folder.path()).reused);
  EXPECT_EQ(PackedSplit::open(folder / "train").rows(), 20);
}

TEST(Pack, LeavesOutUnreadableImagesUpToTheShare) {
  const TempFolder folder;
  auto prepared = fake_prepared(100, 3, {4, 8, 97});  // three of the 50 images of train
  const auto result = pack_part(prepared, Part::train, folder.path());
  EXPECT_EQ(result.rows, 47);
  EXPECT_EQ(result.unreadable, 3);
  const auto split = PackedSplit::open(folder / "train");
  split.verify();
  expect_pixels(prepared, Part::train, split, {4, 8, 97});
  ASSERT_EQ(split.info().report.unreadable.size(), 3u);
  EXPECT_EQ(split.info().report.unreadable[0].file, "image100004");
  prepared.max_unreadable_share = 0.05;
  expect_data_error([&] { pack_part(prepared, Part::train, folder / "b"); },
                    {"3 of the 50 images of train", "broken", "max_unreadable_share"});
  EXPECT_FALSE(fs::exists(folder / "b/train.npy"));
  // What was unreadable is tried again.
  auto mended = fake_prepared(100, 3);
  EXPECT_EQ(pack_part(mended, Part::train, folder / "b").rows, 50);
}

TEST(Pack, DetectsEveryKindOfDamage) {
  const TempFolder folder;
  const auto prepared = fake_prepared(80, 3);
  const auto open = [&](const std::function<void()>& damage) {
    for (const char* file : {"train.npy", "train.json"}) fs::remove(folder / file);
    pack_part(prepared, Part::train, folder.path());
    damage();
    return [&] { PackedSplit::open(folder / "train").verify(); };
  };
  const std::string npy = folder / "train.npy", json = folder / "train.json";
  expect_data_error(open([&] { flip_byte(npy, 1000); }), {"train.npy", "corrupt in rows 0 to 39"});
  expect_data_error(open([&] { flip_byte(npy, -1); }), {"train.npy", "corrupt"});
  expect_data_error(open([&] { cut(npy, 1); }), {"train.npy", "torn"});
  expect_data_error(open([&] { write_text(npy, read_whole(npy) + "x"); }), {"train.npy", "torn"});
  expect_data_error(open([&] { write_text(npy, ""); }), {"train.npy", "torn"});
  expect_data_error(open([&] { flip_byte(npy, 3); }), {"train.npy", "header"});
  expect_data_error(open([&] { flip_byte(npy, 70); }), {"train.npy", "header"});
  expect_data_error(open([&] { fs::remove(json); }), {"train.json", "missing"});
  expect_data_error(open([&] { fs::remove(npy); }), {"train.npy", "missing", "swath pack"});
  expect_data_error(open([&] { cut(json, 3); }), {"train.json", "damaged"});
  expect_data_error(open([&] { write_text(json, "{}"); }), {"train.json", "damaged"});
  const std::string good = read_whole(json);
  for (std::size_t at = 5; at < good.size(); at += 13)
    expect_data_error(open([&] { flip_byte(json, static_cast<std::int64_t>(at)); }), {"train.json"});
}

TEST(Pack, SaysSoWhenTheFolderIsTakenOrTheDiskFull) {
  const TempFolder folder;
  const auto prepared = fake_prepared(40, 3);
  fs::create_directories(folder / "p");
  const int fd = ::open((folder / "p").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  expect_user_error([&] { pack_part(prepared, Part::train, folder / "p"); }, {"another process is packing"});
  ::close(fd);
  write_text(folder / "file", "x");
  expect_user_error([&] { pack_part(prepared, Part::train, folder / "file"); }, {"file", "cannot be made"});
  const FileDescriptor full(::open("/dev/full", O_WRONLY));
  if (full.get() >= 0) expect_data_error([&] { write_at(full, "/dev/full", "x", 1, 0); }, {"/dev/full", "No space left"});
}

TEST(Pack, ManyMayOpenAFinishedPackAtOnce) {
  const TempFolder folder;
  const auto prepared = fake_prepared(40, 3);
  pack_all(prepared, folder / "p");
  std::vector<std::thread> threads;
  std::atomic<int> refused = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        try {
          pack_all(prepared, folder / "p");
        } catch (const Error&) {
          ++refused;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 0);
}

TEST(Pack, RefusesPartsThatDoNotBelongTogether) {
  const TempFolder folder;
  pack_all(fake_prepared(40, 3), folder / "a");
  pack_all(fake_prepared(40, 2), folder / "b");
  for (const char* file : {"val.npy", "val.json"})
    fs::copy_file(folder / (std::string("b/") + file), folder / (std::string("a/") + file),
                  fs::copy_options::overwrite_existing);
  expect_data_error([&] { open_packed(folder / "a"); }, {"val.npy: classes", "2 names, where 3 are expected"});
  expect_user_error([] { open_or_pack({}); }, {"data.packed"});
  expect_data_error(
      [] {
        require_same_names({"B02", "B03"}, {"B03", "B02"}, "x: bands");
      },
      {"x: bands", "number 1 is \"B03\""});
}

TEST(Pack, ReportsProgress) {
  const TempFolder folder;
  const auto prepared = fake_prepared(80, 3);
  std::int64_t last = -1;
  pack_part(prepared, Part::train, folder.path(), {.workers = 2, .progress = [&](const PackProgress& p) {
                                                     EXPECT_GE(p.done, last);
                                                     EXPECT_EQ(p.total, 40);
                                                     last = p.done;
                                                   }});
  EXPECT_EQ(last, 40);
}

}  // namespace swath::test
