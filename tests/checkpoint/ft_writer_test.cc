#include "checkpoint/ft_writer.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "checkpoint/builders.h"
#include "support/expect_check.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

const std::vector<FtWriter::Section> kIni = {{"gpt", {{"model_name", "x"}, {"num_layer", "2"}}},
                                             {"task_0", {{"task_name", "t"}}}};

void put(const FtWriter& writer, const std::string& name, int rank, std::string_view text) {
  FtFile file = writer.create(name, rank);
  for (char c : text) file.append(std::as_bytes(std::span(&c, 1)));
  file.close();
}

TEST(FtWriter, WritesAFolderThatOpens) {
  const TempFolder out;
  {
    FtWriter writer(out.path() / "deep/er", 2, false);
    std::vector<std::thread> threads;
    for (int rank = 0; rank < 2; ++rank)
      threads.emplace_back([&, rank] { put(writer, "w", rank, raw(std::vector<float>{1.f * rank, 5})); });
    for (std::thread& thread : threads) thread.join();
    put(writer, "b", -1, raw(7.f));
    writer.write_ini(kIni);
    EXPECT_FALSE(std::filesystem::exists(out.path() / "deep/er/2-gpu"));
    for (const auto& item : std::filesystem::directory_iterator(out.path() / "deep/er"))
      EXPECT_FALSE(is_ft_folder(item.path()));  // nothing loads before commit()
    EXPECT_EQ(writer.commit(), out.path() / "deep/er/2-gpu");
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(out.path() / "deep/er"), {}), 1);
  const auto folder = out.path() / "deep/er/2-gpu";
  const auto source = open_ft_folder(folder, {{"w", {4}, 0}, {"b", {1}, -1}}, 2, DType::kF32);
  EXPECT_EQ(read_all<float>(*source, "w"), (std::vector<float>{0, 5, 1, 5}));
  // What configparser.write(f, space_around_delimiters=False) puts out.
  EXPECT_EQ(read_text_file(folder / "config.ini", 1000),
            "[gpt]\nmodel_name=x\nnum_layer=2\n\n[task_0]\ntask_name=t\n\n");
  EXPECT_EQ(read_ini(folder / "config.ini").at("gpt").at("num_layer"), "2");
}

TEST(FtWriter, LeavesNothingWithoutCommit) {
  const TempFolder out;
  {
    FtWriter writer(out.path(), 1, false);
    put(writer, "w", -1, "data");
    writer.write_ini(kIni);
    EXPECT_EQ(out.listing().size(), 1u);
  }
  EXPECT_TRUE(out.listing().empty());
}

TEST(FtWriter, RefusesFoldersThatHoldFiles) {
  const TempFolder out;
  std::filesystem::create_directory(out.path() / "1-gpu");
  { FtWriter into_empty(out.path(), 1, false); }
  write_text_file(out.path() / "1-gpu/old.bin", "old");
  EXPECT_ERROR(FtWriter(out.path(), 1, false), ErrorCode::kUsage, "already holds files");
  EXPECT_ERROR(FtWriter(out.path(), 1, false), ErrorCode::kUsage, "--force");
  write_text_file(out.path() / "4-gpu", "a file");
  EXPECT_ERROR(FtWriter(out.path(), 4, true), ErrorCode::kUsage, "not a folder");
  EXPECT_EQ(out.listing(), (std::vector<std::string>{"1-gpu", "4-gpu"}));
}

TEST(FtWriter, ForceReplacesTheOldFolderLast) {
  const TempFolder out;
  std::filesystem::create_directory(out.path() / "1-gpu");
  write_text_file(out.path() / "1-gpu/old.bin", "old");
  { FtWriter given_up(out.path(), 1, true); }
  EXPECT_TRUE(std::filesystem::exists(out.path() / "1-gpu/old.bin"));
  FtWriter writer(out.path(), 1, true);
  put(writer, "new", -1, "new");
  writer.write_ini(kIni);
  EXPECT_TRUE(std::filesystem::exists(out.path() / "1-gpu/old.bin"));
  writer.commit();
  EXPECT_FALSE(std::filesystem::exists(out.path() / "1-gpu/old.bin"));
  EXPECT_TRUE(std::filesystem::exists(out.path() / "1-gpu/new.bin"));
  EXPECT_EQ(out.listing(), std::vector<std::string>{"1-gpu"});
}

// A writer that was killed leaves its folder; the next one clears it away, and no other's.
TEST(FtWriter, ClearsAwayWhatKilledWritersLeft) {
  const TempFolder out;
  const auto fresh = [&](const std::string& name) {
    std::filesystem::create_directories(out.path() / name);
    write_text_file(out.path() / name / "model.wte.bin", "half");
  };
  fresh(".1-gpu.partial-17-abcdef");
  fresh(".12-gpu.partial-18-abcdef");
  for (const char* other : {".1-gpu", ".x-gpu.partial-17-abcdef", ".-gpu.partial-17-abcdef",
                            "1-gpu.partial-17", "x.1-gpu.partial-17-abcdef"})
    fresh(other);
  {
    const FtWriter living(out.path(), 2, false);
    ASSERT_EQ(out.listing().size(), 6u);
    const FtWriter next(out.path(), 2, false);
    EXPECT_EQ(out.listing().size(), 7u);  // the living one's folder stays
  }
  EXPECT_EQ(out.listing(),
            (std::vector<std::string>{".-gpu.partial-17-abcdef", ".1-gpu", ".x-gpu.partial-17-abcdef",
                                      "1-gpu.partial-17", "x.1-gpu.partial-17-abcdef"}));
}

// Killed between moving the old folder aside and putting the new one in place.
TEST(FtWriter, PutsBackWhatAKilledWriterHadMovedAside) {
  const TempFolder out;
  const auto fresh = [&](const std::string& name, const std::string& content) {
    std::filesystem::create_directories(out.path() / name);
    write_text_file(out.path() / name / "w.bin", content);
  };
  fresh(".3-gpu.partial-17-abcdef.old", "old");
  fresh(".3-gpu.partial-17-abcdef", "new");
  EXPECT_ERROR(FtWriter(out.path(), 3, false), ErrorCode::kUsage, "3-gpu already holds files");
  EXPECT_EQ(out.listing(), std::vector<std::string>{"3-gpu"});
  EXPECT_EQ(read_text_file(out.path() / "3-gpu/w.bin", 10), "old");
  // Killed after both: the new one stays.
  fresh(".3-gpu.partial-17-abcdef.old", "older");
  EXPECT_ERROR(FtWriter(out.path(), 3, false), ErrorCode::kUsage, "3-gpu already holds files");
  EXPECT_EQ(out.listing(), std::vector<std::string>{"3-gpu"});
  EXPECT_EQ(read_text_file(out.path() / "3-gpu/w.bin", 10), "old");
}

TEST(FtWriter, FollowsALinkInItsPlace) {
  const TempFolder out, elsewhere;
  for (const bool there : {true, false}) {
    const auto real = elsewhere.path() / (there ? "real" : "not-yet");
    if (there) std::filesystem::create_directory(real);
    if (there) write_text_file(real / "old.bin", "old");
    std::filesystem::remove(out.path() / "1-gpu");
    std::filesystem::create_directory_symlink(real, out.path() / "1-gpu");
    FtWriter writer(out.path(), 1, true);
    put(writer, "w", -1, "data");
    writer.write_ini(kIni);
    writer.commit();
    EXPECT_EQ(std::filesystem::read_symlink(out.path() / "1-gpu"), real);
    EXPECT_EQ(read_text_file(real / "w.bin", 10), "data");
    EXPECT_FALSE(std::filesystem::exists(real / "old.bin"));
    EXPECT_EQ(out.listing(), std::vector<std::string>{"1-gpu"});
  }
  EXPECT_EQ(elsewhere.listing(), (std::vector<std::string>{"not-yet", "real"}));
}

TEST(FtWriter, FilesAreNewOnes) {
  const TempFolder out;
  const auto victim = out.put("victim", "old");
  std::filesystem::create_symlink(victim, out.path() / "link.bin");
  EXPECT_ERROR(FtFile(out.path() / "link.bin"), ErrorCode::kResource, "link.bin");
  EXPECT_ERROR(FtFile(victim), ErrorCode::kResource, "victim");
  EXPECT_EQ(read_text_file(victim, 10), "old");
}

// Somebody else's files appear between the writer's start and its end.
TEST(FtWriter, CommitDoesNotOverwriteWithoutForce) {
  const TempFolder out;
  {
    FtWriter writer(out.path(), 1, false);
    writer.write_ini(kIni);
    std::filesystem::create_directory(out.path() / "1-gpu");
    write_text_file(out.path() / "1-gpu/theirs.bin", "theirs");
    EXPECT_ERROR(writer.commit(), ErrorCode::kResource, "cannot put");
  }
  EXPECT_EQ(out.listing(), std::vector<std::string>{"1-gpu"});
  EXPECT_TRUE(std::filesystem::exists(out.path() / "1-gpu/theirs.bin"));
}

TEST(FtWriter, SaysWhereItCannotWrite) {
  const TempFolder out;
  out.put("file", "");
  EXPECT_ERROR(FtWriter(out.path() / "file", 1, false), ErrorCode::kResource, "file");
}

TEST(FtWriterDeathTest, CallsOutOfOrderAreOurFault) {
  const TempFolder out;
  EXPECT_CHECK(FtWriter(out.path(), 0, false), "ranks >= 1");
  FtWriter writer(out.path(), 2, false);
  EXPECT_CHECK(writer.create("w", -2), "rank >= -1");
  EXPECT_CHECK(writer.create("w", 2), "rank < ranks_");
  EXPECT_CHECK(writer.create("../w", 0), "name.find");
  FtFile file = writer.create("w", 1);
  file.close();
  EXPECT_CHECK(file.close(), "is closed");
  EXPECT_CHECK(file.append({}), "is closed");
  EXPECT_CHECK(writer.commit(), "after write_ini()");
  writer.write_ini(kIni);
  writer.commit();
  EXPECT_CHECK(writer.create("w", 0), "!committed_");
  write_text_file(out.path() / "2-gpu" / "more", "");  // the folder is not the writer's any more
  EXPECT_CHECK(writer.commit(), "commit() comes once");
}

// The kernel's limit on file sizes fails a write just as a full disk does (EFBIG for ENOSPC), without root.
TEST(FtWriter, FailedWriteLeavesNothing) {
  const TempFolder out;
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string mismatch = error_mismatch(
      [&] {
        FtWriter writer(out.path(), 1, false);
        put(writer, "model.wte", -1, std::string(101, 'x'));
      },
      ErrorCode::kResource, "model.wte.bin: File too large");
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(mismatch, "");
  EXPECT_TRUE(out.listing().empty());
}

TEST(FtWriter, FullDiskLeavesNothing) {
  const TempFolder out;
  if (::mount("tmpfs", out.path().c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "NOT TESTED: mounting a small tmpfs needs root (" << std::strerror(errno) << ")";
  const std::string mismatch = error_mismatch(
      [&] {
        FtWriter writer(out.path(), 1, false);
        put(writer, "small", -1, std::string(1000, 'x'));
        FtFile file = writer.create("model.wte", -1);
        const std::vector<std::byte> block(1 << 17);
        file.append(block);
        file.close();
        writer.write_ini(kIni);
        writer.commit();
      },
      ErrorCode::kResource, "model.wte.bin: No space left on device");
  const auto left = out.listing();
  ::umount2(out.path().c_str(), MNT_DETACH);
  EXPECT_EQ(mismatch, "");
  EXPECT_TRUE(left.empty());
}

}  // namespace
}  // namespace bolide
