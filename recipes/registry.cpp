// The names by which configurations choose a recipe.
#include <functional>

#include "recipes/baseline.h"
#include "recipes/bier.h"
#include "recipes/dac.h"
#include "recipes/diva.h"
#include "recipes/sndl.h"

namespace swath {

namespace {

struct RecipeEntry {
  const char* name;
  std::function<std::unique_ptr<Recipe>(const RecipeContext&)> make;
};

const std::vector<RecipeEntry>& recipes() {
  static const std::vector<RecipeEntry> entries{
      {"baseline", [](const RecipeContext& context) { return std::make_unique<Baseline>(context); }},
      {"bier", [](const RecipeContext& context) { return std::make_unique<Bier>(context); }},
      {"dac", [](const RecipeContext& context) { return std::make_unique<Dac>(context); }},
      {"diva", [](const RecipeContext& context) { return std::make_unique<Diva>(context); }},
      {"sndl", [](const RecipeContext& context) { return std::make_unique<Sndl>(context); }},
  };
  return entries;
}

}  // namespace

std::vector<std::string> TrainOptions::recipe_names() {
  std::vector<std::string> names;
  for (const RecipeEntry& entry : recipes()) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Recipe> make_recipe(const RecipeContext& context) {
  const std::string &recipe = context.options.recipe, &loss = context.options.loss.name;
  if (recipe != "baseline" && loss != LossOptions{}.name)
    throw UserError(
        fmt::format("loss.name is {}, but the recipe {} has losses of its own; leave loss.name out, or set "
                    "recipe=baseline",
                    loss, recipe));
  for (const RecipeEntry& entry : recipes()) {
    if (recipe == entry.name) return entry.make(context);
  }
  throw UserError(fmt::format("unknown recipe \"{}\"; there are: {}", recipe, fmt::join(TrainOptions::recipe_names(), ", ")));
}

}  // namespace swath
