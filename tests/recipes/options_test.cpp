// The configuration: defaults are the constants of methods.md, and a preset lies between them and what is named.
#include "recipes/options.h"

#include <gtest/gtest.h>

#include <map>

namespace swath {
namespace {

TEST(TrainOptions, DefaultsAreTheConstantsOfTheMethods) {
  std::map<std::string, Json> defaults;
  for (const ConfigKey& key : config_keys(TrainOptions{})) defaults[key.path] = key.default_value;
  // methods.md §1 to §7, in its order.
  const std::vector<std::pair<const char*, const char*>> constants{
      {"data.split.train", "0.4"},
      {"data.split.val", "0.1"},
      {"data.split.test", "0.5"},
      {"sampler.images_per_class", "2"},
      {"sampler.classes_per_batch", "0"},
      {"sampler.rows", "\"fixed\""},
      {"sampler.batch_size", "120"},
      {"sampler.last", "\"keep\""},
      {"model.backbone", "\"resnet50\""},
      {"model.embedding", "512"},
      {"model.dropout", "0.01"},
      {"model.copy_weights", "0"},
      {"optimizer.beta1", "0.9"},
      {"optimizer.beta2", "0.999"},
      {"optimizer.eps", "1e-8"},
      {"optimizer.backbone.lr", "1e-5"},
      {"optimizer.backbone.weight_decay", "1e-4"},
      {"optimizer.head.lr", "1e-5"},
      {"optimizer.head.weight_decay", "1e-4"},
      {"optimizer.beta.lr", "5e-4"},
      {"optimizer.beta.weight_decay", "0"},
      {"optimizer.regressor.lr", "1e-5"},
      {"optimizer.regressor.weight_decay", "0"},
      {"schedule.milestones", "[55]"},
      {"schedule.gamma", "0.3"},
      {"epochs", "120"},
      {"validation.every", "10"},
      {"miner.lower_cutoff", "0.5"},
      {"miner.upper_cutoff", "0"},
      {"miner.max_negatives_per_pos", "3"},
      {"miner.max_trips_per_anchor", "3"},
      {"margin.margin", "0.2"},
      {"margin.beta", "1.2"},
      {"margin.nu", "0.1"},
      {"binomial.cost", "25"},
      {"binomial.alpha", "2"},
      {"binomial.beta", "0.5"},
      {"binomial.nu", "0.1"},
      {"binomial.eta_style", "true"},
      {"nca.temperature", "0.05"},
      {"nca.margin", "0"},
      {"nca.momentum", "0.5"},
      {"nca.momentum_milestones", "[80, 120]"},
      {"nca.momentum_values", "[0.8, 0.9]"},
      {"moco.n_key_batches", "30"},
      {"moco.tau", "0.07"},
      {"moco.lower_cutoff", "0.5"},
      {"moco.upper_cutoff", "1.4"},
      {"moco.momentum", "0.9"},
      {"bier.regressor_hidden", "512"},
      {"diva.regressor_hidden", "512"},
      {"bier.lambda_div", "5e-5"},
      {"bier.lambda_w", "1e5"},
      {"bier.adversarial_weight", "1e5"},
      {"dac.kmeans.clusters", "8"},
      {"dac.kmeans.iterations", "100"},
      {"dac.every", "10"},
      {"dac.finetune_epoch", "110"},
      {"diva.discriminative", "1"},
      {"diva.selfsimilarity", "0.3"},
      {"diva.shared", "0.3"},
      {"diva.intra", "0.3"},
      {"diva.decorrelation", "1500"},
      {"diva.evaluation_weights", "[0.5, 1, 1, 1]"},
      {"sndl.nca", "1"},
      {"sndl.bce", "1"},
      {"validation.retrieval.ks", "[1, 2, 4, 8]"},
  };
  for (const auto& [key, value] : constants) {
    ASSERT_TRUE(defaults.contains(key)) << key;
    EXPECT_EQ(defaults[key], Json::parse(value)) << key << " is " << defaults[key];
  }
  EXPECT_EQ(BierOptions{}.learner_widths(512), (std::vector<std::int64_t>{96, 160, 256}));
}

TEST(Preset, LiesBetweenTheDefaultsAndWhatIsNamed) {
  const TrainOptions small = resolve_options(Json::parse(R"({"preset": "small"})"));
  EXPECT_EQ(small.model.backbone, "resnet18");
  EXPECT_EQ(small.epochs, 20);
  EXPECT_EQ(small.margin.beta, 1.2f);
  const TrainOptions named =
      resolve_options(Json::parse(R"({"epochs": 3, "preset": "small", "model": {"embedding": 64, "backbone": "resnet50"}})"));
  EXPECT_EQ(named.epochs, 3);
  EXPECT_EQ(named.model.embedding, 64);
  EXPECT_EQ(named.model.backbone, "resnet50");
  EXPECT_EQ(named.moco.n_key_batches, small.moco.n_key_batches);
  EXPECT_EQ(config_to_json(resolve_options(Json::object())), config_to_json(TrainOptions{}));
}

TEST(Preset, IsWrittenWithTheKeysItSetSoThatReadingThemBackChangesNothing) {
  for (const std::string& name : TrainOptions::preset_names()) {
    const Json written = config_to_json(resolve_options({{"preset", name}, {"seed", 5}}));
    EXPECT_EQ(written["preset"], name);
    EXPECT_EQ(config_to_json(resolve_options(written)), written);
  }
}

TEST(Preset, OfAnotherNameIsRefusedWithThoseThatExist) {
  for (const char* wrong : {R"({"preset": "tiny"})", R"({"preset": 3})"}) {
    try {
      resolve_options(Json::parse(wrong));
      FAIL() << wrong;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find("preset must be"), std::string::npos) << error.what();
    }
  }
}

TEST(Precision, Fp16IsRefusedOnTheCpuWithWhatToSet) {
  TrainOptions options;
  options.precision = "fp16";
  try {
    open_device(options);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(), "precision is fp16, which needs a GPU; set precision=bf16 or fp32 on the CPU, or device=cuda:0");
  }
}

TEST(ConvPipeline, TakesFp16AndAGpu) {
  TrainOptions options;
  options.conv_pipeline = "on";
  const auto refusal = [&] {
    try {
      open_device(options);
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal(), "conv_pipeline=on takes precision=fp16, not fp32; set one of the two otherwise");
  options.precision = "fp16";
  EXPECT_EQ(refusal(), "precision is fp16, which needs a GPU; set precision=bf16 or fp32 on the CPU, or device=cuda:0");
  EXPECT_TRUE(device_options(options).conv_pipeline);
}

}  // namespace
}  // namespace swath
