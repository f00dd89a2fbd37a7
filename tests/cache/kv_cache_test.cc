#include "cache/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>

#include "support/expect_check.h"
#include "support/expect_error.h"
#include "support/process_memory.h"

namespace bolide {
namespace {

TEST(KvCache, LayersHaveTheContractsShapeAndDoNotOverlap) {
  KvCache cache({.layers = 3, .kv_heads = 2, .head_size = 5, .pages = 4, .page_size = 8});
  const Batch batch;
  const KvView view = cache.view(host_view(batch));
  EXPECT_EQ(view.layers(), 3);
  float value = 0;
  for (int64_t l = 0; l < 3; ++l) {
    for (const View& side : {view.layer(l).k, view.layer(l).v}) {
      EXPECT_EQ(side.shape, Shape({4, 2, 8, 5}));
      EXPECT_TRUE(side.contiguous());
      float* data = side.as<float>();
      EXPECT_TRUE(std::all_of(data, data + side.shape.count(), [](float x) { return x == 0; }));
      std::iota(data, data + side.shape.count(), value);
      value += static_cast<float>(side.shape.count());
    }
  }
  value = 0;
  for (int64_t l = 0; l < 3; ++l) {
    for (const View& side : {view.layer(l).k, view.layer(l).v}) {
      for (int64_t i = 0; i < side.shape.count(); ++i) ASSERT_EQ(side.as<float>()[i], value++);
    }
  }
}

TEST(KvCache, SparePageIsOneMoreInEachLayer) {
  KvCache cache({.layers = 2, .kv_heads = 1, .head_size = 2, .pages = 3, .page_size = 2, .spare_page = true});
  const Batch batch;
  const KvView view = cache.view(host_view(batch));
  for (int64_t l = 0; l < 2; ++l) {
    for (const View& side : {view.layer(l).k, view.layer(l).v}) {
      ASSERT_EQ(side.shape, Shape({4, 1, 2, 2}));
      std::fill_n(side.as<float>(), 16, static_cast<float>(l + 1));
    }
  }
  EXPECT_EQ(view.layer(0).v.as<float>()[15], 1);
  EXPECT_EQ(view.layer(1).k.as<float>()[0], 2);
  EXPECT_EQ(cache.config().pages, 3);  // which nobody is given
}

TEST(KvCacheDeathTest, PagesThatAreNoneAreOurFault) {
  KvCache cache({.layers = 1, .kv_heads = 1, .head_size = 1, .pages = 3, .page_size = 1, .spare_page = true});
  cache.copy_page({}, 0, 2);
  EXPECT_CHECK(cache.copy_page({}, 1, 1), "from != to");
  for (const int32_t none : {-1, 3}) {
    EXPECT_CHECK(cache.copy_page({}, none, 0), "from");
    EXPECT_CHECK(cache.copy_page({}, 0, none), "from");
  }
  for (int64_t KvCacheConfig::*size :
       {&KvCacheConfig::layers, &KvCacheConfig::kv_heads, &KvCacheConfig::head_size, &KvCacheConfig::pages,
        &KvCacheConfig::page_size}) {
    KvCacheConfig config{.layers = 1, .kv_heads = 1, .head_size = 1, .pages = 1, .page_size = 1};
    KvCache smallest(config);
    config.*size = 0;
    EXPECT_CHECK(KvCache{config}, "> 0");
  }
}

TEST(KvCache, CopyPageCopiesAllLayersAndNothingElse) {
  const KvCacheConfig config{
      .layers = 2, .kv_heads = 1, .head_size = 3, .pages = 3, .page_size = 2, .dtype = DType::kBF16};
  EXPECT_EQ(config.page_bytes(), 2 * 2 * 1 * 3 * 2 * 2);
  KvCache cache(config);
  const Batch batch;
  const KvView view = cache.view(host_view(batch));
  uint16_t value = 0;
  for (int64_t l = 0; l < 2; ++l) {
    for (const View& side : {view.layer(l).k, view.layer(l).v})
      for (int64_t i = 0; i < 18; ++i) side.as<bf16>()[i].bits = value++;
  }
  cache.copy_page({}, 2, 0);
  value = 0;
  for (int64_t l = 0; l < 2; ++l) {
    for (const View& side : {view.layer(l).k, view.layer(l).v}) {
      for (int64_t i = 0; i < 18; ++i, ++value)
        EXPECT_EQ(side.as<bf16>()[i].bits, i < 6 ? value + 12 : value) << l << " " << i;
    }
  }
  cache.copy_page({}, 1, 2);  // to the last one
  const bf16* last = view.layer(1).v.as<bf16>();
  for (int64_t i = 0; i < 6; ++i) EXPECT_EQ(last[12 + i].bits, last[6 + i].bits);
}

TEST(KvCache, UntouchedPagesTakeNoMemory) {
  const int64_t before = process_memory().resident;
  KvCache cache({.layers = 8, .kv_heads = 8, .head_size = 64, .pages = 1 << 16, .page_size = 16});  // 34 GB
  const Batch batch;
  cache.view(host_view(batch)).layer(7).v.as<float>()[0] = 1;
  EXPECT_LT(process_memory().resident - before, int64_t{16} << 20);
}

TEST(KvCache, ImpossibleSizesAreErrors) {
  KvCacheConfig config{.layers = 64, .kv_heads = 128, .head_size = 128, .pages = int64_t{1} << 30};
  EXPECT_ERROR(KvCache(config), ErrorCode::kResource, "max_kv_tokens");
  config.pages = std::numeric_limits<int64_t>::max() / 2;
  EXPECT_ERROR(KvCache(config), ErrorCode::kResource, "max_kv_tokens");
  EXPECT_EQ(KvCacheConfig({.layers = 0, .kv_heads = 8, .head_size = 64}).page_bytes(), 0);
  EXPECT_ERROR(KvCacheConfig({.layers = -1, .kv_heads = 8, .head_size = 64}).page_bytes(),
               ErrorCode::kResource, "max_kv_tokens");
}

}  // namespace
}  // namespace bolide
