#include "comm/rendezvous.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <thread>

#include "comm/free_port.h"
#include "support/expect_error.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

// Runs `body` for each rank on a thread of its own.
void on_ranks(int size, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) threads.emplace_back(body, rank);
  for (auto& thread : threads) thread.join();
}

class Meetings : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "bolide-meeting-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    address_ = GetParam() ? "file:" + folder_.string() : "localhost:" + std::to_string(free_port());
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_;
  std::string address_;
};

TEST_P(Meetings, EveryRankGetsEveryText) {
  constexpr int kRanks = 4;
  on_ranks(kRanks, [&](int rank) {
    std::this_thread::sleep_for(rank == 0 ? 150ms : 0ms);  // whoever is early waits
    const auto meeting = make_rendezvous({.rank = rank, .size = kRanks, .address = address_}, 20s);
    for (int round = 0; round < 3; ++round) {
      const auto text = [&](int of) { return std::string(static_cast<size_t>(of * 1000 * round), 'a' + of); };
      const auto all = meeting->exchange(text(rank));
      ASSERT_EQ(all.size(), static_cast<size_t>(kRanks));
      for (int other = 0; other < kRanks; ++other) EXPECT_EQ(all[static_cast<size_t>(other)], text(other));
    }
  });
}

TEST_P(Meetings, WhoDoesNotComeIsNamed) {
  on_ranks(2, [&](int rank) {
    const auto meet = [&] {
      make_rendezvous({.rank = rank, .size = 3, .address = address_}, 300ms)->exchange("here");
    };
    // Over TCP the others learn nothing but that rank 0 gives up.
    if (rank == 0 || GetParam()) {
      EXPECT_ERROR(meet(), ErrorCode::kResource, "within 0.3 s");
    } else {
      EXPECT_ERROR(meet(), ErrorCode::kResource, "rank 0");
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, Meetings, testing::Bool(),
                         [](const auto& way) { return way.param ? "File" : "Tcp"; });

TEST(Rendezvous, FolderOfAnotherRunIsRefused) {
  std::string name = (fs::temp_directory_path() / "bolide-meeting-XXXXXX").string();
  const fs::path folder = mkdtemp(name.data());
  std::ofstream(folder / "round-0-rank-1") << "old";
  EXPECT_ERROR(
      make_rendezvous({.rank = 1, .size = 2, .address = "file:" + folder.string()}, 1s)->exchange("new"),
      ErrorCode::kUsage, "files of another run");
  fs::remove_all(folder);
}

TEST(Rendezvous, PipeInTheFolderHoldsNobodyUp) {
  std::string name = (fs::temp_directory_path() / "bolide-meeting-XXXXXX").string();
  const fs::path folder = mkdtemp(name.data());
  for (const char* pipe : {"round-0-rank-0.part", "round-0-rank-1"})
    ASSERT_EQ(mkfifo((folder / pipe).c_str(), 0600), 0);
  EXPECT_ERROR(
      make_rendezvous({.rank = 0, .size = 2, .address = "file:" + folder.string()}, 1s)->exchange("a"),
      ErrorCode::kCorrupt, "round-0-rank-1 is a pipe, not a file");
  EXPECT_TRUE(fs::is_regular_file(folder / "round-0-rank-0"));
  fs::remove_all(folder);
}

TEST(Rendezvous, AddressesThatCannotBe) {
  EXPECT_ERROR(make_rendezvous({.rank = 1, .size = 2, .address = "nowhere"}, 1s), ErrorCode::kUsage,
               "HOST:PORT");
  EXPECT_ERROR(make_rendezvous({.rank = 1, .size = 2, .address = "127.0.0.1:no-port"}, 300ms),
               ErrorCode::kUsage, "127.0.0.1:no-port is not known");
  EXPECT_ERROR(make_rendezvous({.rank = 0, .size = 2, .address = "file:/proc/no"}, 1s), ErrorCode::kUsage,
               "cannot be made");
}

TEST(Rendezvous, HostsThatAreNotThere) {
  // RFC 2606 keeps the name from ever being given. Without a name server the look-up fails for another
  // reason, after a while: either is said within the time-out.
  const auto begin = std::chrono::steady_clock::now();
  std::string said;
  try {
    make_rendezvous({.rank = 1, .size = 2, .address = "no-such-host.invalid:29500"}, 1s);
  } catch (const Error& error) {
    said = error.what();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  EXPECT_NE(said.find("'no-such-host.invalid'"), std::string::npos) << said;
  EXPECT_NE(said.find("check MASTER_ADDR"), std::string::npos) << said;
  const std::string nobody = "127.0.0.1:" + std::to_string(free_port());
  EXPECT_ERROR(make_rendezvous({.rank = 1, .size = 2, .address = nobody}, 300ms), ErrorCode::kResource,
               "nobody listens there");
  // Rank 0 listens under any name, so that it can only say why nobody came.
  const std::string port = ":" + std::to_string(free_port());
  EXPECT_ERROR(make_rendezvous({.rank = 0, .size = 2, .address = "192.0.2.1" + port}, 300ms),
               ErrorCode::kResource, "192.0.2.1 is no address of this host");
  EXPECT_ERROR(make_rendezvous({.rank = 0, .size = 2, .address = "no-such-host.invalid" + port}, 300ms),
               ErrorCode::kResource, "check MASTER_ADDR");
  const auto here = [&] { make_rendezvous({.rank = 0, .size = 2, .address = "127.0.0.1" + port}, 300ms); };
  try {
    here();
    ADD_FAILURE() << "nobody can have come";
  } catch (const Error& error) {
    EXPECT_TRUE(std::string_view(error.what()).ends_with("within 0.3 s")) << error.what();
  }
}

TEST(Rendezvous, TakenPortIsNamed) {
  const int file = socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  socklen_t bytes = sizeof address;
  if (bind(file, reinterpret_cast<sockaddr*>(&address), bytes) != 0 || listen(file, 1) != 0) {
    close(file);
    GTEST_SKIP() << "NOT TESTED: there is no IPv6";
  }
  getsockname(file, reinterpret_cast<sockaddr*>(&address), &bytes);
  const int port = ntohs(address.sin6_port);
  EXPECT_ERROR(
      make_rendezvous({.rank = 0, .size = 2, .address = fmt::format("localhost:{}", port)}, 1s),
      ErrorCode::kUsage,
      fmt::format("rank 0 cannot listen at port {}: another process uses it; give another MASTER_PORT",
                  port));
  close(file);
}

TEST(Rendezvous, RanksOfAnotherWorldAreRefused) {
  for (const GlooRendezvous& other : {GlooRendezvous{.rank = 2, .size = 4, .address = ""},
                                      GlooRendezvous{.rank = 1, .size = 3, .address = ""}}) {
    const std::string address = "127.0.0.1:" + std::to_string(free_port());
    on_ranks(3, [&](int rank) {
      if (rank == 0) {
        EXPECT_ERROR(make_rendezvous({.rank = 0, .size = 3, .address = address}, 20s), ErrorCode::kUsage,
                     other.size == 4 ? "rank 2 of 4 came" : "two processes say that they are rank 1");
        return;
      }
      const GlooRendezvous mine{.rank = other.rank, .size = other.size, .address = address};
      EXPECT_ERROR(make_rendezvous(mine, 1s)->exchange(""), ErrorCode::kResource, "rank 0");
    });
  }
}

TEST(Rendezvous, StrangersDoNotDisturb) {
  const int port = free_port();
  const std::string address = "127.0.0.1:" + std::to_string(port);
  on_ranks(3, [&](int rank) {
    if (rank < 2) {
      std::this_thread::sleep_for(rank * 400ms);
      const auto meeting = make_rendezvous({.rank = rank, .size = 2, .address = address}, 20s);
      EXPECT_EQ(meeting->exchange(std::to_string(rank)).back(), "1");
      return;
    }
    std::this_thread::sleep_for(100ms);
    const int file = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(file, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(::send(file, "GET / HTTP/1.0\r\n\r\n", 18, MSG_NOSIGNAL), 18);
    close(file);
  });
}

}  // namespace
}  // namespace bolide
