// Configuration: parsing, refusal of wrong keys and values, overrides, and the list of keys.
#include "engine/core/config.h"

#include <gtest/gtest.h>

namespace swath {
namespace {

struct Inner {
  float margin = 0.2f;
  std::string kind = "step";
  template <class V>
  void fields(V& v) {
    v("margin", margin, "margin", Range{0, 10});
    v("kind", kind, "kind", OneOf{{"step", "exp"}});
  }
};
struct Outer {
  std::int32_t epochs = 3;
  std::uint64_t seed = 1;
  bool fast = false;
  int classes = 43;
  std::vector<std::int64_t> ks = {1, 2};
  Inner loss;
  template <class V>
  void fields(V& v) {
    v("epochs", epochs, "epochs", Range{1, 1000});
    v("seed", seed, "seed");
    v("fast", fast, "fast");
    v("classes", classes, "classes", Among{{19, 43}});
    v("ks", ks, "ks", Range{1, 64});
    v("loss", loss, "loss");
  }
};

std::string error_of(const std::string& text) {
  try {
    Outer options;
    config_from_json(options, parse_config(text, "c.json"));
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Config, ReadsWithCommentsAndKeepsDefaults) {
  Outer options;
  config_from_json(options, parse_config("// a\n{\"loss\": {\"margin\": 0.5 /* b */}, \"seed\": 18446744073709551615}", "c"));
  EXPECT_EQ(options.loss.margin, 0.5f);
  EXPECT_EQ(options.seed, UINT64_MAX);
  EXPECT_EQ(options.epochs, 3);
}

TEST(Config, RefusesWithTheKeysPath) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{\"loss\": {\"margn\": 1}}", "did you mean loss.margin?"},
      {"{\"loss\": 1}", "loss"},
      {"{\"epochs\": 1, \"epochs\": 2}", "twice"},
      {"{\"epochs\": 1.5}", "epochs must be an integer, not 1.5"},
      {"{\"classes\": 30}", "classes must be one of 19, 43, not 30"},
      {"{\"classes\": \"19\"}", "classes must be an integer"},
      {"{\"loss\": {\"margin\": \"x\"}}", "loss.margin must be a finite number"},
      {"{\"loss\": {\"kind\": 1}}", "loss.kind must be text"},
      {"{\"epochs\": 3000000000}", "epochs"},
      {"{\"epochs\": 0}", "1 to 1000"},
      {"{\"seed\": -1}", "seed"},
      {"{\"fast\": 1}", "fast must be true or false, not 1"},
      {"{\"ks\": [1, \"2\"]}", "ks[1]"},
      {"{\"ks\": [0]}", "ks"},
      {"{\"loss\": {\"margin\": NaN}}", "c.json"},
      {"{\"loss\": {\"margin\": Infinity}}", "c.json"},
      {"{\"loss\": {\"margin\": 1e999}}", "c.json"},
      {"{\"loss\": {\"kind\": \"stpe\"}}", "did you mean step?"},
      {"[]", "top level"},
      {"{", "c.json"},
      {"", "c.json"},
      {"{\"\": 1, \"\": 2}", "twice"}};
  for (const auto& [text, expected] : cases)
    EXPECT_NE(error_of(text).find(expected), std::string::npos) << text << "\n" << error_of(text);
}

TEST(Config, OverridesListsAndRoundTrips) {
  Json json = Json::object();
  for (const char* word : {"loss.margin=0.3", "loss.kind=exp", "ks=[4,8]", "fast=true"}) set_config(json, word);
  EXPECT_THROW(set_config(json, "loss.margin"), UserError);
  EXPECT_THROW(set_config(json, "=1"), UserError);
  EXPECT_THROW(set_config(json, "a..b=1"), UserError);
  Outer options, again;
  config_from_json(options, json);
  const Json written = config_to_json(options);
  EXPECT_EQ(written["loss"]["margin"].dump(), "0.3");
  config_from_json(again, parse_config(written.dump(), "c"));
  EXPECT_EQ(config_to_json(again), written);
  const std::vector<ConfigKey> keys = config_keys(Outer{});
  ASSERT_EQ(keys.size(), 7u);
  EXPECT_EQ(keys[3].constraint, "one of 19, 43");
  EXPECT_EQ(keys[5].path, "loss.margin");
  EXPECT_EQ(keys[5].default_value.dump(), "0.2");
  EXPECT_EQ(keys[5].constraint, "0 to 10");
}

}  // namespace
}  // namespace swath
