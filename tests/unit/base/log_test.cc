#include "server/base/log.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice::log {
namespace {

using nlohmann::json;

// StandardErrorPipe: standard error as a pipe of which the test holds the other end. A pipe that is
// full or has no reader is what a log must survive.
class StandardErrorPipe {
 public:
  StandardErrorPipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    saved_ = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    read_end_ = ends[0];
  }

  ~StandardErrorPipe() {
    Restore();
    if (reader_.joinable()) reader_.join();
    CloseReader();
  }

  StandardErrorPipe(const StandardErrorPipe&) = delete;
  StandardErrorPipe& operator=(const StandardErrorPipe&) = delete;

  // Writes until the pipe takes no more.
  void Fill() {
    fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    const std::string block(4096, '.');
    while (write(STDERR_FILENO, block.data(), block.size()) > 0) {
    }
    fcntl(STDERR_FILENO, F_SETFL, 0);
  }

  void CloseReader() {
    if (read_end_ >= 0) close(read_end_);
    read_end_ = -1;
  }

  // Begins to read, so that a pipe that is full takes more again.
  void Drain() {
    reader_ = std::thread([this] {
      char buffer[4096];
      ssize_t got = 0;
      while ((got = read(read_end_, buffer, sizeof(buffer))) > 0) {
        text_.append(buffer, static_cast<size_t>(got));
      }
    });
  }

  // Everything that was written. Ends the writing.
  std::string Text() {
    if (!reader_.joinable()) Drain();
    Restore();
    reader_.join();
    return text_;
  }

  std::vector<json> Records() {
    std::vector<json> records;
    for (const absl::string_view line : absl::StrSplit(Text(), '\n', absl::SkipEmpty())) {
      records.push_back(json::parse(std::string(line)));
    }
    return records;
  }

 private:
  void Restore() {
    if (saved_ < 0) return;
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    saved_ = -1;
  }

  int saved_ = -1;
  int read_end_ = -1;
  std::string text_;    // reader's until it is joined
  std::thread reader_;  // ends when Restore closed the last end that writes
};

class Log : public testing::Test {
 protected:
  ~Log() override {
    Shutdown();
    Init(Level::kInfo);  // the level that the process began with
    Shutdown();
  }
};

TEST_F(Log, ShutdownWritesWhatIsQueuedInOrder) {
  StandardErrorPipe pipe;
  Init(Level::kInfo);
  for (int i = 0; i < 100; ++i) Info("test", "line", {{"i", i}});
  Shutdown();
  const std::vector<json> records = pipe.Records();
  ASSERT_EQ(records.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(records[static_cast<size_t>(i)]["i"], i);
  EXPECT_EQ(records[0]["level"], "info");
  EXPECT_EQ(records[0]["logger"], "test");
}

TEST_F(Log, LevelsBelowTheThresholdAreOff) {
  StandardErrorPipe pipe;
  Init(Level::kWarning);
  EXPECT_FALSE(Enabled(Level::kDebug));
  EXPECT_FALSE(Enabled(Level::kInfo));
  EXPECT_TRUE(Enabled(Level::kWarning));
  Debug("test", "no");
  Info("test", "no");
  Warning("test", "yes");
  Error("test", "yes");
  Init(Level::kDebug);  // changes the level of a log that runs
  Debug("test", "yes");
  Init(Level::kOff);
  Error("test", "no");
  Shutdown();
  const std::vector<json> records = pipe.Records();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0]["level"], "warning");
  EXPECT_EQ(records[1]["level"], "error");
  EXPECT_EQ(records[2]["level"], "debug");
}

TEST_F(Log, WritesWithoutAThreadBeforeInitAndAfterShutdown) {
  StandardErrorPipe pipe;
  Info("test", "before");
  Init(Level::kInfo);
  Shutdown();
  Info("test", "after");
  Shutdown();  // a second one does nothing
  const std::vector<json> records = pipe.Records();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0]["message"], "before");
  EXPECT_EQ(records[1]["message"], "after");
}

TEST_F(Log, ManyThreadsWriteWholeLines) {
  StandardErrorPipe pipe;
  Init(Level::kInfo);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 50; ++i) Info("test", "line", {{"thread", t}, {"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  Shutdown();
  EXPECT_EQ(pipe.Records().size(), 200u);
}

TEST_F(Log, AFullStandardErrorDropsTheOldestAndHoldsUpNobody) {
  StandardErrorPipe pipe;
  pipe.Fill();
  Init(Level::kInfo);
  const uint64_t before = Dropped();
  // More than the queue holds. It would never return if a caller had to wait.
  for (int i = 0; i < 5000; ++i) Info("test", "line", {{"i", i}});
  EXPECT_GE(Dropped() - before, 3000u);
  pipe.Drain();
  Shutdown();
  const uint64_t dropped = Dropped() - before;
  const std::string text = pipe.Text();
  EXPECT_THAT(text, testing::HasSubstr("\"i\":4999}"));
  EXPECT_THAT(text, testing::HasSubstr("\"records were dropped\""));
  const auto lines = static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_EQ(lines + dropped, 5001u);  // and the note that some were dropped
}

TEST_F(Log, ShutdownGivesUpOnAStandardErrorThatTakesNothing) {
  StandardErrorPipe pipe;
  pipe.Fill();
  Init(Level::kInfo);
  const uint64_t before = Dropped();
  for (int i = 0; i < 10; ++i) Info("test", "line");
  Shutdown();  // comes back, that is the test
  EXPECT_EQ(Dropped() - before, 10u);
}

TEST_F(Log, AReaderThatWentAwayDoesNotEndTheProcess) {
  StandardErrorPipe pipe;
  Init(Level::kInfo);
  const uint64_t before = Dropped();
  pipe.CloseReader();
  Info("test", "nobody reads this");
  Shutdown();
  EXPECT_GE(Dropped() - before, 1u);  // the record, and the note on it if there was time for one
}

TEST_F(Log, ALineLongerThanAPipeTakesAtOnceArrivesWhole) {
  StandardErrorPipe pipe;
  Init(Level::kInfo);
  const std::string text(4000, 'x');
  Info("test", text, {{"a", text}, {"b", text}, {"c", text}});
  Shutdown();
  const std::vector<json> records = pipe.Records();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0]["c"], text);
}

TEST(LogLevel, NamesAndLevelsAreOneToOne) {
  for (const Level level :
       {Level::kDebug, Level::kInfo, Level::kWarning, Level::kError, Level::kOff}) {
    EXPECT_EQ(ParseLevel(LevelName(level)), level);
  }
  EXPECT_EQ(ParseLevel("verbose"), std::nullopt);
  EXPECT_EQ(ParseLevel(""), std::nullopt);
}

}  // namespace
}  // namespace sluice::log
