#include "cache/page_pool.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "cache/sequence_pages.h"
#include "support/expect_check.h"
#include "support/process_memory.h"

namespace bolide {
namespace {

// A pool and a sequence of some tokens in its pages of four.
struct Sequence {
  PagePool pool;
  SequencePages first{pool, 4};
  std::vector<PageCopy> copies;

  Sequence(int64_t pages, int64_t tokens) : pool(pages) { EXPECT_TRUE(first.append(tokens, copies)); }
};

TEST(PagePool, GivesEachPageOnceAndThenNothing) {
  PagePool pool(5);
  std::set<int32_t> seen;
  for (int i = 0; i < 5; ++i) {
    const auto page = pool.take();
    ASSERT_TRUE(page.has_value());
    EXPECT_TRUE(0 <= *page && *page < 5);
    EXPECT_TRUE(seen.insert(*page).second) << *page;
  }
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_FALSE(pool.take().has_value());
}

TEST(PagePool, PagesThatNobodyTookCostNothing) {
  const int64_t before = process_memory().resident;
  PagePool pool((int64_t{1} << 31) - 1);
  EXPECT_EQ(pool.free_pages(), pool.pages());
  EXPECT_EQ(pool.take(), 0);
  EXPECT_EQ(pool.take(), 1);
  EXPECT_EQ(pool.free_pages(), pool.pages() - 2);
  pool.release(0);
  EXPECT_EQ(pool.free_pages(), pool.pages() - 1);
  EXPECT_EQ(pool.take(), 0);  // the one freed last comes first
  EXPECT_EQ(pool.take(), 2);
  EXPECT_LT(process_memory().resident - before, int64_t{4} << 20);
}

TEST(PagePool, SharedPageIsFreeAfterItsLastOwner) {
  PagePool pool(1);
  const int32_t page = *pool.take();
  pool.share(page);
  EXPECT_EQ(pool.references(page), 2);
  pool.release(page);
  EXPECT_FALSE(pool.take().has_value());
  pool.release(page);
  EXPECT_EQ(pool.take(), page);
}

TEST(PagePoolDeathTest, DoubleReleaseIsOurFault) {
  PagePool pool(2);
  const int32_t page = *pool.take();
  pool.release(page);
  EXPECT_CHECK(pool.release(page), "released twice");
  EXPECT_CHECK(pool.share(page), "is free");
}

TEST(PagePoolDeathTest, SizesThatAreNoneAreOurFault) {
  EXPECT_EQ(PagePool(1).free_pages(), 1);
  for (const int64_t pages : {int64_t{0}, int64_t{-1}, int64_t{1} << 31})
    EXPECT_CHECK(PagePool{pages}, std::to_string(pages) + " pages");
  PagePool pool(1);
  std::vector<PageCopy> copies;
  EXPECT_CHECK(SequencePages(pool, 4).append(-1, copies), "count");
}

TEST(SequencePages, PlacesTokensInItsPages) {
  PagePool pool(8);
  SequencePages pages(pool, 4);
  std::vector<PageCopy> copies;
  ASSERT_TRUE(pages.append(6, copies));
  EXPECT_EQ(pages.tokens(), 6);
  ASSERT_EQ(pages.pages().size(), 2u);
  EXPECT_EQ(pages.slot(5), pages.pages()[1] * 4 + 1);
  ASSERT_TRUE(pages.append(2, copies));  // fills the second page, takes none
  EXPECT_EQ(pages.pages().size(), 2u);
  ASSERT_TRUE(pages.append(1, copies));
  EXPECT_EQ(pages.pages().size(), 3u);
  EXPECT_TRUE(pages.append(0, copies));  // nothing is always there, and changes nothing
  EXPECT_EQ(pages.tokens(), 9);
  EXPECT_TRUE(copies.empty());
  EXPECT_EQ(pool.free_pages(), 5);
}

TEST(SequencePages, ExhaustionChangesNothing) {
  PagePool pool(3);
  SequencePages first(pool, 4), second(pool, 4);
  std::vector<PageCopy> copies;
  ASSERT_TRUE(first.append(8, copies));
  EXPECT_FALSE(second.append(5, copies));
  EXPECT_FALSE(second.reserve(5));
  EXPECT_EQ(second.tokens(), 0);
  EXPECT_EQ(pool.free_pages(), 1);
  EXPECT_TRUE(second.append(4, copies));
}

TEST(SequencePages, ReservedPagesAreUsedBeforeNewOnes) {
  PagePool pool(4);
  SequencePages pages(pool, 4), other(pool, 4);
  std::vector<PageCopy> copies;
  ASSERT_TRUE(pages.reserve(9));
  EXPECT_EQ(pool.free_pages(), 1);
  ASSERT_TRUE(other.reserve(4));
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(pages.append(1, copies)) << i;
  EXPECT_EQ(pages.pages().size(), 3u);
  EXPECT_FALSE(pages.append(4, copies));
}

TEST(SequencePages, ForkSharesAndCopiesOnWrite) {
  Sequence sequence(8, 6);
  auto& [pool, first, copies] = sequence;
  SequencePages second = first.fork();
  EXPECT_EQ(pool.free_pages(), 6);  // nothing copied yet
  const std::vector<int32_t> before(first.pages().begin(), first.pages().end());

  ASSERT_TRUE(second.append(1, copies));
  ASSERT_EQ(copies.size(), 1u);  // the half-full page only
  EXPECT_EQ(copies[0].from, before[1]);
  EXPECT_EQ(copies[0].to, second.pages()[1]);
  EXPECT_NE(second.pages()[1], before[1]);
  EXPECT_EQ(second.pages()[0], before[0]);

  copies.clear();
  ASSERT_TRUE(first.append(1, copies));  // alone on its page by now
  EXPECT_TRUE(copies.empty());
  EXPECT_EQ(first.pages()[1], before[1]);

  first.clear();
  EXPECT_EQ(pool.references(second.pages()[0]), 1);
  second.clear();
  EXPECT_EQ(pool.free_pages(), 8);
}

TEST(SequencePages, ForkAtAPageBoundaryCopiesNothing) {
  Sequence sequence(8, 8);
  auto& [pool, first, copies] = sequence;
  SequencePages second = first.fork();
  ASSERT_TRUE(second.append(1, copies));
  ASSERT_TRUE(first.append(1, copies));
  EXPECT_TRUE(copies.empty());
  EXPECT_NE(first.pages()[2], second.pages()[2]);
}

// Both sequences own the pages that they write to, and nothing is copied that holds no tokens.
TEST(SequencePages, ForkOfReservedPagesCopiesOnlyWhatWasWritten) {
  PagePool pool(8);
  SequencePages first(pool, 4);
  std::vector<PageCopy> copies;
  ASSERT_TRUE(first.reserve(12));
  ASSERT_TRUE(first.append(6, copies));
  SequencePages second = first.fork();
  ASSERT_TRUE(
      second.append(1, copies));  // the half-full page becomes its own, the reserved one is still shared
  ASSERT_EQ(copies.size(), 1u);
  EXPECT_EQ(pool.references(first.pages()[2]), 2);
  ASSERT_TRUE(second.append(4, copies));
  EXPECT_EQ(copies.size(), 1u);
  EXPECT_NE(second.pages()[2], first.pages()[2]);
  EXPECT_EQ(pool.references(second.pages()[2]), 1);
  EXPECT_EQ(second.tokens(), 11);

  SequencePages whole(pool, 4);
  ASSERT_TRUE(whole.reserve(8));
  ASSERT_TRUE(whole.append(4, copies));
  SequencePages rest = whole.fork();
  ASSERT_TRUE(rest.append(1, copies));
  EXPECT_EQ(copies.size(), 1u);  // its second page held nothing yet
  EXPECT_NE(rest.pages()[1], whole.pages()[1]);
  EXPECT_EQ(pool.free_pages(), 0);
}

TEST(SequencePages, LastFreePagesAreEnoughForAForksCopies) {
  Sequence sequence(4, 6);
  auto& [pool, first, copies] = sequence;
  SequencePages second = first.fork();
  EXPECT_FALSE(second.append(7, copies));  // a copy and two pages
  EXPECT_TRUE(copies.empty());
  ASSERT_TRUE(second.append(6, copies));  // a copy and one page
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_EQ(second.pages().size(), 3u);
}

TEST(SequencePages, OfThreeOwnersTheLastWritesInPlace) {
  Sequence sequence(8, 3);
  auto& [pool, first, copies] = sequence;
  SequencePages second = first.fork(), third = second.fork();
  EXPECT_EQ(pool.references(first.pages()[0]), 3);
  ASSERT_TRUE(first.append(0, copies));  // writes nothing, so takes nothing
  EXPECT_EQ(pool.free_pages(), 7);
  for (SequencePages* each : {&first, &second, &third}) ASSERT_TRUE(each->append(1, copies));
  EXPECT_EQ(copies.size(), 2u);
  EXPECT_EQ(pool.free_pages(), 5);
  for (const SequencePages* each : {&first, &second, &third}) EXPECT_EQ(pool.references(each->pages()[0]), 1);
}

TEST(SequencePages, ReserveOfWhatIsThereTakesNothing) {
  PagePool pool(4);
  SequencePages pages(pool, 4);
  ASSERT_TRUE(pages.reserve(8));
  EXPECT_EQ(pages.tokens(), 0);
  ASSERT_TRUE(pages.reserve(8));
  ASSERT_TRUE(pages.reserve(1));
  EXPECT_EQ(pool.free_pages(), 2);
  ASSERT_TRUE(pages.reserve(16));
  EXPECT_FALSE(pages.reserve(17));
  EXPECT_EQ(pages.pages().size(), 4u);
  pages.clear();
  EXPECT_EQ(pool.free_pages(), 4);
}

TEST(SequencePagesDeathTest, AForkOfNothingIsOurFault) {
  EXPECT_CHECK(SequencePages().fork(), "pool_ != nullptr");
}

TEST(SequencePages, ForkThatCannotCopyChangesNothing) {
  Sequence sequence(2, 6);
  auto& [pool, first, copies] = sequence;
  SequencePages second = first.fork();
  EXPECT_FALSE(second.append(1, copies));
  EXPECT_EQ(second.tokens(), 6);
  EXPECT_TRUE(copies.empty());
}

TEST(SequencePages, MoveAndDestructionGivePagesBackOnce) {
  PagePool pool(4);
  {
    SequencePages first(pool, 4);
    std::vector<PageCopy> copies;
    ASSERT_TRUE(first.append(5, copies));
    SequencePages second = std::move(first);
    EXPECT_EQ(second.tokens(), 5);
    SequencePages third(pool, 4);
    ASSERT_TRUE(third.append(4, copies));
    third = std::move(second);
    EXPECT_EQ(pool.free_pages(), 2);
  }
  EXPECT_EQ(pool.free_pages(), 4);
}

// What nobody reads any more is written to again, and given back once all that is to come has room.
TEST(SequencePages, DroppedPagesAreTheNextOnes) {
  PagePool pool(3);
  SequencePages pages(pool, 4);
  std::vector<PageCopy> copies;
  ASSERT_TRUE(pages.reserve(12));
  ASSERT_TRUE(pages.append(7, copies));
  const std::vector<int32_t> first(pages.pages().begin(), pages.pages().end());
  pages.drop_before(-3, 20);
  pages.drop_before(3, 20);  // within the first page: it is still read
  EXPECT_EQ(pages.pages().size(), 3u);
  pages.drop_before(7, 20);
  ASSERT_EQ(pages.pages().size(), 4u);
  EXPECT_EQ(pages.pages()[0], 0);
  EXPECT_EQ(pages.pages()[3], first[0]);
  ASSERT_TRUE(pages.append(9, copies));
  EXPECT_EQ(pages.slot(12), first[0] * 4);
  EXPECT_FALSE(pages.append(1, copies));  // it has no fourth page
  EXPECT_EQ(pages.tokens(), 16);
  pages.drop_before(16, 20);
  EXPECT_EQ(pages.pages().size(), 5u);
  EXPECT_EQ(pool.free_pages(), 2);  // one of the three is the last that it will need
  ASSERT_TRUE(pages.append(4, copies));
  pages.clear();
  EXPECT_EQ(pool.free_pages(), 3);
}

// A page that another sequence reads stays with that one.
TEST(SequencePages, DroppingLeavesAForkItsPages) {
  Sequence sequence(8, 10);
  auto& [pool, first, copies] = sequence;
  SequencePages second = first.fork();
  const std::vector<int32_t> before(second.pages().begin(), second.pages().end());
  first.drop_before(8, 40);
  EXPECT_EQ(first.pages().size(), 3u);
  EXPECT_EQ(pool.references(before[0]), 1);
  EXPECT_EQ(pool.references(before[2]), 2);
  EXPECT_EQ(pool.free_pages(), 5);
  SequencePages third = first.fork();
  EXPECT_EQ(pool.references(before[0]), 1);
  EXPECT_EQ(pool.references(before[2]), 3);
  second.clear();
  first = std::move(third);
  EXPECT_EQ(pool.references(before[2]), 1);
  first.clear();
  EXPECT_EQ(pool.free_pages(), 8);
}

// Against a sequence of every length that takes steps of every size: never fewer, and not more than there
// are where the step lies worst.
TEST(SequencePages, PagesAtOnce) {
  for (const int64_t page : {1, 3, 4}) {
    for (const int64_t window : {1, 2, 5, 8}) {
      for (const int64_t rows : {1, 3, 6}) {
        int64_t most = 0;
        for (int64_t begin = 0; begin + rows <= 60; ++begin) {
          const int64_t first = std::max<int64_t>(begin - window + 1, 0) / page;
          most = std::max(most, (begin + rows - 1) / page - first + 1);
        }
        EXPECT_EQ(pages_at_once(60, window, rows, page), most)
            << page << " a page, window " << window << ", rows " << rows;
      }
    }
  }
  EXPECT_EQ(pages_at_once(60, 0, 8, 4), 15);
  EXPECT_EQ(pages_at_once(60, 60, 8, 4), 15);
  EXPECT_EQ(pages_at_once(9, 8, 8, 4), 3);
}

}  // namespace
}  // namespace bolide
