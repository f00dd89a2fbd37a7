// The transports between processes, and between threads: each runs the same checks.
#include "comm/transport.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "comm/free_port.h"
#include "comm/transport_conformance.h"

namespace bolide {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;
using testing::HasSubstr;
using Variables = std::map<std::string, std::string>;

// A process, its output in a file; killed if it outlives this.
class Process {
 public:
  Process(std::vector<std::string> words, const Variables& variables, const fs::path& output)
      : output_(output) {
    id_ = fork();
    if (id_ != 0) return;
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    const int file = open(output.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    dup2(file, 1);
    dup2(file, 2);
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (running_) {
      ::kill(id_, SIGKILL);
      waitpid(id_, nullptr, 0);
    }
  }

  void kill(int number) const { ::kill(id_, number); }
  // The exit code, 128 + the signal, or -1 when it still runs at `deadline`.
  int wait(Clock::time_point deadline) {
    for (int status = 0; running_; std::this_thread::sleep_for(5ms)) {
      if (waitpid(id_, &status, WNOHANG) == id_) {
        running_ = false;
        code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      } else if (Clock::now() > deadline) {
        return -1;
      }
    }
    return code_;
  }
  std::string output() const {
    std::ifstream file(output_);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

 private:
  fs::path output_;
  pid_t id_ = -1;
  bool running_ = true;
  int code_ = -1;
};

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "bolide-transport-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

struct Outcome {
  std::vector<int> codes;  // of each process; of mpirun alone
  std::string output;
};

constexpr int kRanks = 3;

// The line that starts with `prefix`, or nothing.
std::string line_of(const std::string& output, const std::string& prefix) {
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(prefix)) return line;
  return "";
}

Outcome run_mpi(const std::string& scenario) {
  const Folder folder;
  // For containers: OpenMPI refuses to run as root unless told twice, wants ssh even for one host, and
  // complains where the kernel does not let processes read each other's memory. It keeps memory to the end,
  // which AddressSanitizer would report.
  const Variables variables = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                               {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                               {"OMPI_MCA_plm", "isolated"},
                               {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
                               {"ASAN_OPTIONS", "detect_leaks=0"}};
  Process mpirun({"mpirun", "--oversubscribe", "-n", std::to_string(kRanks), TRANSPORT_RANK, "mpi", scenario},
                 variables, folder.path() / "output");
  const int code = mpirun.wait(Clock::now() + 40s);
  if (code < 0) {  // it takes its ranks along, which SIGKILL would not
    mpirun.kill(SIGTERM);
    mpirun.wait(Clock::now() + 5s);
  }
  return {{code}, mpirun.output()};
}

// Ranks that meet at `address`; each one's output in turn.
Outcome run_gloo(const std::string& scenario, const std::string& address) {
  const Folder folder;
  std::vector<std::unique_ptr<Process>> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    const Variables variables = {
        {"RANK", std::to_string(rank)}, {"WORLD_SIZE", std::to_string(kRanks)}, {"BOLIDE_MEETING", address}};
    ranks.push_back(std::make_unique<Process>(std::vector<std::string>{TRANSPORT_RANK, "gloo", scenario},
                                              variables, folder.path() / std::to_string(rank)));
  }
  Outcome run;
  const auto deadline = Clock::now() + 40s;
  for (auto& rank : ranks) {
    run.codes.push_back(rank->wait(deadline));
    run.output += rank->output();
  }
  return run;
}

enum class Way { kMpi, kGlooOverTcp, kGlooOverFile };

class Processes : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (GetParam() == Way::kMpi) {
      if (!kHasMpi) GTEST_SKIP() << "NOT TESTED: this build has no MPI";
      if (system("mpirun --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "NOT TESTED: there is no mpirun";
    } else if (!kHasGloo) {
      GTEST_SKIP() << "NOT TESTED: this build has no Gloo";
    }
  }
  static Outcome run(const std::string& scenario) {
    switch (GetParam()) {
      case Way::kMpi:
        return run_mpi(scenario);
      case Way::kGlooOverTcp:
        return run_gloo(scenario, "127.0.0.1:" + std::to_string(free_port()));
      case Way::kGlooOverFile:
        return run_gloo(scenario, "file:" + (folder_.path() / "meeting").string());
    }
    return {};
  }
  // What a rank says of an error: alone where its output is its own, among mpirun's words else.
  static std::string said_by(int rank, const Outcome& run) {
    return line_of(run.output, "rank " + std::to_string(rank) + ": ");
  }
  static void expect_failed(const Outcome& run, std::initializer_list<int> ranks) {
    for (const int rank : ranks) {
      const size_t process = GetParam() == Way::kMpi ? 0 : static_cast<size_t>(rank);
      EXPECT_GT(run.codes[process], 0) << run.output;
      EXPECT_LT(run.codes[process], 128) << run.output;
    }
  }

  static const Folder& folder() { return folder_; }

 private:
  static inline const Folder folder_;
};

TEST_P(Processes, Conform) {
  const Outcome run = Processes::run("conform");
  EXPECT_THAT(run.codes, testing::Each(0));
  EXPECT_EQ(run.output, "");
  if (GetParam() == Way::kGlooOverFile) {
    EXPECT_TRUE(fs::is_empty(folder().path() / "meeting"));
  }
}

TEST_P(Processes, MessageMovesWhileItsSenderComputes) {
  const Outcome run = Processes::run("busy");
  EXPECT_THAT(run.codes, testing::Each(0)) << run.output;
}

TEST_P(Processes, RankThatDoesNotAnswerIsNamed) {
  const Outcome run = Processes::run("silent");
  expect_failed(run, {0, 2});
  EXPECT_THAT(run.output, HasSubstr("rank 1 did not answer rank"));
  EXPECT_THAT(run.output, HasSubstr("within 1 s at step 17"));
}

TEST_P(Processes, KilledRankIsNamedByEachOther) {
  const auto begin = Clock::now();
  const Outcome run = Processes::run("killed");
  EXPECT_LT(Clock::now() - begin, 15s);
  if (GetParam() != Way::kMpi) expect_failed(run, {0, 2});
  // Of itself, or because the other one says so.
  for (const int rank : {0, 2})
    EXPECT_THAT(said_by(rank, run), HasSubstr("rank 1 is gone, as rank")) << run.output;
  for (const int rank : {0, 2}) EXPECT_THAT(said_by(rank, run), HasSubstr("at step 17")) << run.output;
}

TEST_P(Processes, AbortReachesWhoWaitsForOthers) {
  const Outcome run = Processes::run("aborted");
  expect_failed(run, {0, 1, 2});
  for (const int rank : {0, 2})
    EXPECT_THAT(said_by(rank, run), HasSubstr("it is out of pages")) << run.output;
}

TEST_P(Processes, WhatARankSaysArrivesThoughAnotherHasDied) {
  if (GetParam() == Way::kMpi) GTEST_SKIP() << "mpirun ends all ranks once one has died";
  const Outcome run = Processes::run("told");
  EXPECT_THAT(said_by(0, run), HasSubstr("it missed the last rank")) << run.output;
}

TEST_P(Processes, MessageOfAnotherSizeIsAnError) {
  const Outcome run = Processes::run("short");
  expect_failed(run, {0});
  EXPECT_THAT(said_by(0, run), HasSubstr("8 bytes where 64 were due")) << run.output;
}

std::string name_of(const testing::TestParamInfo<Way>& way) {
  constexpr const char* kNames[] = {"Mpi", "GlooOverTcp", "GlooOverFile"};
  return kNames[static_cast<size_t>(way.param)];
}
INSTANTIATE_TEST_SUITE_P(All, Processes, testing::Values(Way::kMpi, Way::kGlooOverTcp, Way::kGlooOverFile),
                         name_of);

TEST(Threads, Conform) {
  auto ranks = make_thread_transports(kRanks, 30s);
  std::vector<std::thread> threads;
  for (auto& rank : ranks) {
    threads.emplace_back([&rank] {
      try {
        check_conformance(*rank);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank->rank() << ": " << error.what();
        rank->abort(error.what());
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace bolide
