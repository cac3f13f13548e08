// Pretrained trunks (methods.md §2): layout, widened first convolution, refusals; names and values of torchvision and timm.
#include "models/pretrained.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "engine/io/safetensors.h"
#include "engine/nn/init.h"
#include "models/export_weights.h"
#include "models/resnet.h"
#include "tests/engine/io_test_helpers.h"

namespace swath {
namespace {

struct FileTensor {
  std::vector<std::int64_t> shape;
  std::string dtype = "F32";
};
using FileTensors = std::map<std::string, FileTensor>;

/// Element `index` of the tensor whose name hashes to `key`: a multiple of 1/16 in ±2, exact in every floating-point type.
float number(std::uint64_t key, std::int64_t index) {
  const std::uint64_t mixed = (key ^ static_cast<std::uint64_t>(index)) * 0x9E3779B97F4A7C15ull;
  return static_cast<float>(static_cast<std::int64_t>(mixed >> 58) - 32) / 16.0f;
}

/// Writes `value`, one of number()'s, in the type of that name.
void put_number(std::uint8_t* to, const std::string& dtype, float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  if (dtype == "F32") {
    std::memcpy(to, &bits, 4);
  } else if (dtype == "I64") {
    const std::int64_t whole = 3;
    std::memcpy(to, &whole, 8);
  } else if (dtype == "BF16") {
    const auto high = static_cast<std::uint16_t>(bits >> 16);
    std::memcpy(to, &high, 2);
  } else {
    const std::uint32_t exponent = (bits >> 23) & 0xff;
    const std::uint32_t magnitude = value == 0 ? 0 : ((exponent - 112) << 10) | ((bits >> 13) & 0x3ff);
    const auto half = static_cast<std::uint16_t>(((bits >> 16) & 0x8000u) | magnitude);
    std::memcpy(to, &half, 2);
  }
}

void write_file(const std::string& path, const FileTensors& tensors) {
  std::vector<SafetensorsItem> items;
  for (const auto& [name, tensor] : tensors) {
    std::size_t count = 1;
    for (const std::int64_t extent : tensor.shape) count *= static_cast<std::size_t>(extent);
    const std::size_t size = tensor.dtype == "I64" ? 8 : tensor.dtype == "F32" ? 4 : 2;
    const auto fill = [key = name_hash(name), dtype = tensor.dtype, size, count](std::uint8_t* to) {
      for (std::size_t i = 0; i < count; ++i) put_number(to + i * size, dtype, number(key, static_cast<std::int64_t>(i)));
    };
    items.push_back({name, tensor.dtype, tensor.shape, count * size, fill});
  }
  write_safetensors(path, items);
}

struct Trunk {
  Trunk(const std::string& depth, std::int64_t channels) : net(block, {.depth = depth, .in_channels = channels}, 5) {
    block.allocate(*device);
  }
  /// Calls f(name in the file, value) for every parameter and running statistic.
  template <class F>
  void each(const F& f) {
    const auto bare = [](const std::string& name) { return name.substr(std::string("backbone.").size()); };
    for (Parameter& p : block.parameters()) f(bare(p.name), p.value);
    for (Buffer& b : block.buffers()) f(bare(b.name), b.value);
  }
  /// What torchvision's file of this trunk holds, classifier and counters included.
  FileTensors torch_tensors(std::int64_t file_channels = 3) {
    FileTensors tensors{{"fc.weight", {{10, net.features()}}}, {"fc.bias", {{10}}}, {"bn1.num_batches_tracked", {{}, "I64"}}};
    each([&](const std::string& name, const Tensor& value) {
      const Shape& s = value.shape();
      if (s.rank() == 4)
        tensors[name] = {{s[0], name == "conv1.weight" ? file_channels : s[3], s[1], s[2]}};
      else
        tensors[name] = {{s[0]}};
    });
    return tensors;
  }
  std::map<std::string, std::vector<float>> values() {
    std::map<std::string, std::vector<float>> all;
    each([&](const std::string& name, const Tensor& value) { all[name] = value.to_host<float>(); });
    return all;
  }

  std::unique_ptr<Device> device = Device::open("cpu");
  ParameterBlock block;
  ResNet net;
};

/// Compares every value with number() of the O×I×H×W element it comes from.
void expect_loaded(Trunk& trunk, std::int64_t file_channels, std::int64_t copied) {
  trunk.each([&](const std::string& name, const Tensor& value) {
    const std::vector<float> got = value.to_host<float>();
    const std::uint64_t key = name_hash(name);
    const Shape& s = value.shape();
    if (s.rank() != 4) {
      for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_EQ(got[i], number(key, static_cast<std::int64_t>(i))) << name << " " << i;
      return;
    }
    const std::int64_t in_file = name == "conv1.weight" ? file_channels : s[3];
    std::size_t at = 0;
    for (std::int64_t o = 0; o < s[0]; ++o)
      for (std::int64_t h = 0; h < s[1]; ++h)
        for (std::int64_t w = 0; w < s[2]; ++w)
          for (std::int64_t c = 0; c < s[3]; ++c, ++at) {
            const std::int64_t channel = c < in_file ? c : copied;
            ASSERT_EQ(got[at], number(key, ((o * in_file + channel) * s[1] + h) * s[2] + w)) << name << " " << at;
          }
  });
}

std::string refusal(Trunk& trunk, const std::string& file, const PretrainedOptions& options = {}) {
  const auto before = trunk.values();
  const std::string sentence = test::data_error([&] { load_pretrained(trunk.block, file, options); });
  EXPECT_FALSE(sentence.empty()) << file << " was accepted";
  EXPECT_EQ(trunk.values(), before) << "the block was changed";
  return sentence;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(ExportedWeights, AreThoseOfTheFileThatWasLoaded) {
  const test::Folder folder;
  Trunk trunk("resnet50", 3);
  FileTensors tensors = trunk.torch_tensors();
  write_file(folder / "w.safetensors", tensors);
  load_pretrained(trunk.block, folder / "w.safetensors");
  export_weights(trunk.block, folder / "out.safetensors", {{"format", "pt"}});
  const SafetensorsFile written = SafetensorsFile::open(folder / "out.safetensors");
  for (const char* absent : {"fc.weight", "fc.bias", "bn1.num_batches_tracked"}) tensors.erase(absent);
  EXPECT_EQ(written.names().size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_TRUE(written.contains(name)) << name;
    EXPECT_EQ(written.shape(name), tensor.shape) << name;
    const std::vector<float> values = written.to_float(name);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], number(name_hash(name), static_cast<std::int64_t>(i))) << name << " " << i;
  }
}

TEST(Pretrained, LayoutOfBasicAndBottleneckTrunks) {
  const test::Folder folder;
  for (const std::string depth : {"resnet18", "resnet50"}) {
    Trunk trunk(depth, 3);
    write_file(folder / "w.safetensors", trunk.torch_tensors());
    const PretrainedReport report = load_pretrained(trunk.block, folder / "w.safetensors");
    EXPECT_EQ(std::set<std::string>(report.ignored.begin(), report.ignored.end()),
              (std::set<std::string>{"bn1.num_batches_tracked", "fc.bias", "fc.weight"}));
    expect_loaded(trunk, 3, 0);
  }
}

TEST(Pretrained, TwelveBandsCopyTheChosenChannel) {
  const test::Folder folder;
  Trunk trunk("resnet18", 12);
  write_file(folder / "w.safetensors", trunk.torch_tensors());
  for (const std::int64_t copied : {0, 1, 2}) {
    load_pretrained(trunk.block, folder / "w.safetensors", {.copy_weights = copied});
    expect_loaded(trunk, 3, copied);
  }
  write_file(folder / "twelve.safetensors", trunk.torch_tensors(12));
  load_pretrained(trunk.block, folder / "twelve.safetensors", {.copy_weights = 1});
  expect_loaded(trunk, 12, 0);
}

TEST(Pretrained, ACopiedChannelThatIsNotThereIsRefused) {
  const test::Folder folder;
  Trunk trunk("resnet18", 12);
  write_file(folder / "w.safetensors", trunk.torch_tensors());
  for (const std::int64_t copied : {-1, 3}) {
    const std::string sentence = refusal(trunk, folder / "w.safetensors", {.copy_weights = copied});
    EXPECT_TRUE(holds(sentence, "copy_weights")) << sentence;
  }
}

TEST(Pretrained, HalfPrecisionFiles) {
  const test::Folder folder;
  for (const std::string dtype : {"F16", "BF16"}) {
    Trunk trunk("resnet18", 3);
    FileTensors tensors = trunk.torch_tensors();
    for (auto& [name, tensor] : tensors)
      if (tensor.dtype == "F32") tensor.dtype = dtype;
    write_file(folder / "w.safetensors", tensors);
    load_pretrained(trunk.block, folder / "w.safetensors");
    expect_loaded(trunk, 3, 0);
  }
}

TEST(Pretrained, OneSentenceNamesEveryTensorThatDoesNotFit) {
  const test::Folder folder;
  Trunk trunk("resnet18", 3);
  FileTensors tensors = trunk.torch_tensors();
  tensors.erase("layer2.0.conv1.weight");
  tensors.erase("bn1.running_mean");
  tensors["extra.one"] = {{4}};
  tensors["layer5.0.conv1.weight"] = {{1, 1, 3, 3}};
  tensors["bn1.bias"] = {{63}};
  tensors["layer1.1.conv2.weight"] = {{64, 3, 3, 64}};  // channels last
  tensors["layer3.0.downsample.0.weight"] = {{256, 128}};
  write_file(folder / "w.safetensors", tensors);
  const std::string sentence = refusal(trunk, folder / "w.safetensors");
  for (const char* part : {"w.safetensors", "layer2.0.conv1.weight", "bn1.running_mean", "extra.one", "layer5.0.conv1.weight",
                           "bn1.bias is 63 instead of 64", "layer1.1.conv2.weight is 64x3x3x64 instead of 64x64x3x3",
                           "layer3.0.downsample.0.weight is 256x128 instead of 256x128x1x1"})
    EXPECT_TRUE(holds(sentence, part)) << part << " in: " << sentence;
  for (const char* part : {"fc.weight", "num_batches_tracked", "conv1.weight is 64x3x7x7"}) EXPECT_FALSE(holds(sentence, part));
}

TEST(Pretrained, ATrunkOfAnotherDepthOrWithMoreBandsIsRefused) {
  const test::Folder folder;
  Trunk small("resnet18", 3), deep("resnet50", 3);
  write_file(folder / "w.safetensors", small.torch_tensors());
  const std::string sentence = refusal(deep, folder / "w.safetensors");
  EXPECT_TRUE(holds(sentence, "layer1.0.conv3.weight") && holds(sentence, "model.backbone")) << sentence;
  write_file(folder / "wide.safetensors", small.torch_tensors(12));
  EXPECT_TRUE(holds(refusal(small, folder / "wide.safetensors"), "conv1.weight is 64x12x7x7 instead of 64x3x7x7"));
}

TEST(Pretrained, AnIntegerTensorIsRefused) {
  const test::Folder folder;
  Trunk trunk("resnet18", 3);
  FileTensors tensors = trunk.torch_tensors();
  tensors["layer4.1.bn2.weight"].dtype = "I64";
  write_file(folder / "w.safetensors", tensors);
  EXPECT_TRUE(holds(refusal(trunk, folder / "w.safetensors"), "layer4.1.bn2.weight"));
}

TEST(Pretrained, TruncatedAndHostileFilesAreRefused) {
  const test::Folder folder;
  Trunk trunk("resnet18", 3);
  write_file(folder / "w.safetensors", trunk.torch_tensors());
  const std::string whole = test::get(folder / "w.safetensors");
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, std::size_t{500}, whole.size() / 2, whole.size() - 1}) {
    test::put(folder / "cut.safetensors", whole.substr(0, size));
    EXPECT_TRUE(holds(refusal(trunk, folder / "cut.safetensors"), "cut.safetensors"));
  }
  std::string long_header = whole;
  std::fill_n(long_header.begin(), 8, '\xff');
  test::put(folder / "long.safetensors", long_header);
  refusal(trunk, folder / "long.safetensors");
  const std::string header = R"({"conv1.weight":{"dtype":"F32","shape":[4611686018427387904,4,7,7],"data_offsets":[0,0]}})";
  std::string overflow(8, '\0');
  overflow[0] = static_cast<char>(header.size());
  test::put(folder / "overflow.safetensors", overflow + header);
  EXPECT_TRUE(holds(refusal(trunk, folder / "overflow.safetensors"), "conv1.weight"));
  EXPECT_TRUE(holds(refusal(trunk, folder / "absent.safetensors"), "absent.safetensors"));
}

TEST(Pretrained, APickleIsRefusedWithTheCommandThatConvertsIt) {
  const test::Folder folder;
  Trunk trunk("resnet18", 3);
  for (const std::string name : {"w.pth", "w.pt", "w.bin"}) {
    test::put(folder / name, "PK\3\4");
    const std::string sentence = refusal(trunk, folder / name);
    EXPECT_TRUE(holds(sentence, "python3 pth_to_safetensors.py " + (folder / name) + " weights.safetensors")) << sentence;
  }
}

/// Every tensor bit for bit as the peer laid it out.
void expect_same_as(Trunk& trunk, const std::string& file) {
  const SafetensorsFile wanted = SafetensorsFile::open(file);
  std::size_t compared = 0;
  trunk.each([&](const std::string& name, const Tensor& value) {
    EXPECT_EQ(value.to_host<float>(), wanted.to_float(name)) << name;
    ++compared;
  });
  EXPECT_EQ(compared, wanted.names().size());
}

TEST(PretrainedPeer, NamesAndValuesOfTorchvisionAndTimm) {
  const test::Folder folder;
  const int status = test::peer("pretrained_names.py", folder.path().string());
  if (status < 0) GTEST_SKIP() << "SWATH_PEERS_PYTHON names no python";
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "torchvision, timm or safetensors is not installed";
  ASSERT_EQ(status, 0);
  for (const std::string origin : {"torchvision", "timm"}) {
    Trunk three("resnet18", 3), twelve("resnet18", 12);
    const PretrainedReport report = load_pretrained(three.block, folder / (origin + ".safetensors"));
    EXPECT_EQ(report.ignored.size(), 22u) << "fc.weight, fc.bias and 20 counters";
    expect_same_as(three, folder / (origin + "_own.safetensors"));
    load_pretrained(twelve.block, folder / (origin + ".safetensors"), {.copy_weights = 1});
    expect_same_as(twelve, folder / (origin + "_12_own.safetensors"));
    load_pretrained(three.block, folder / (origin + "_half.safetensors"));
    expect_same_as(three, folder / (origin + "_half_own.safetensors"));

    const std::string sentence = refusal(three, folder / (origin + ".pth"));
    const std::size_t command = sentence.find("pth_to_safetensors.py"), end = sentence.find(" (the script");
    ASSERT_TRUE(command != std::string::npos && end != std::string::npos) << sentence;
    const std::string converted = "cd " + folder.path().string() + " && " + std::getenv("SWATH_PEERS_PYTHON") + " " +
                                  SWATH_PEERS_FOLDER + "/../../python/" + sentence.substr(command, end - command);
    ASSERT_EQ(std::system(converted.c_str()), 0) << converted;
    load_pretrained(three.block, folder / "weights.safetensors");
    expect_same_as(three, folder / (origin + "_own.safetensors"));
  }
}

}  // namespace
}  // namespace swath
