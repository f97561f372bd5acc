#include "tests/support/private_postgres.h"

#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <spawn.h>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "nlohmann/json.hpp"

namespace sluice::test {
namespace {

// postgres.py gives up earlier, and says why.
constexpr timeval kPatience = {.tv_sec = 120, .tv_usec = 0};

std::vector<std::string> Command(const PrivatePostgresOptions& options) {
  std::vector<std::string> words = {SLUICE_PYTHON,       "-B",
                                    SLUICE_POSTGRES_PY,  "serve",
                                    "--max-connections", absl::StrCat(options.max_connections)};
  if (options.fsync) words.emplace_back("--fsync");
  if (!options.password.empty()) words.push_back(absl::StrCat("--password=", options.password));
  for (const auto& [name, value] : options.settings) {
    words.push_back(absl::StrCat("--set=", name, "=", value));
  }
  return words;
}

}  // namespace

PrivatePostgres::PrivatePostgres(const PrivatePostgresOptions& options) {
  Spawn(options);
  ReadAnswer();
}

PrivatePostgres::~PrivatePostgres() {
  close(channel_);
  if (keeper_ != 0) waitpid(keeper_, nullptr, 0);
}

void PrivatePostgres::Start() {
  Ask("start");
}

void PrivatePostgres::Stop(PostgresStop mode) {
  switch (mode) {
    case PostgresStop::kSmart:
      return Ask("stop smart");
    case PostgresStop::kFast:
      return Ask("stop fast");
    case PostgresStop::kImmediate:
      return Ask("stop immediate");
  }
}

void PrivatePostgres::Kill() {
  Ask("kill");
}

void PrivatePostgres::Spawn(const PrivatePostgresOptions& options) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    ADD_FAILURE() << "no socket pair";
    return;
  }
  channel_ = ends[0];
  setsockopt(channel_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));

  std::vector<std::string> words = Command(options);
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  EXPECT_EQ(posix_spawn(&keeper_, arguments[0], &actions, nullptr, arguments.data(), environ), 0);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
}

void PrivatePostgres::Ask(absl::string_view line) {
  const std::string text = absl::StrCat(line, "\n");
  send(channel_, text.data(), text.size(), MSG_NOSIGNAL);
  ReadAnswer();
}

void PrivatePostgres::ReadAnswer() {
  size_t end = std::string::npos;
  while ((end = unread_.find('\n')) == std::string::npos) {
    char buffer[4096];
    const ssize_t count = recv(channel_, buffer, sizeof(buffer), 0);
    if (count <= 0) {
      ADD_FAILURE() << "the server's process says nothing: " << unread_;
      return;
    }
    unread_.append(buffer, static_cast<size_t>(count));
  }
  const nlohmann::json answer = nlohmann::json::parse(unread_.substr(0, end), nullptr, false);
  unread_.erase(0, end + 1);
  if (!answer.is_object() || answer.contains("error")) {
    ADD_FAILURE() << answer.dump();
    return;
  }
  conninfo_ = answer["conninfo"];
  folder_ = answer["folder"];
  port_ = answer["port"];
  pid_ = answer["pid"].is_null() ? 0 : answer["pid"].get<pid_t>();
}

}  // namespace sluice::test
