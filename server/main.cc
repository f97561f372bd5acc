// sluiced: flags, signals, exit code.
//
// Exit codes: 0 after an orderly end, 1 when the server could not start, 2 for wrong usage or
// configuration.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>

#include <openssl/crypto.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "server/app.h"
#include "server/base/config.h"
#include "server/base/json.h"
#include "server/base/log.h"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

// Sent by the thread that takes the server down to the one that waits for signals.
constexpr int kDone = SIGUSR2;

// Signals are waited for, never handled, so they must be blocked before the first thread starts.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, kDone}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

// An end that takes longer is told of, again and again.
constexpr timespec kLongEnd = {.tv_sec = 10, .tv_nsec = 0};

int AwaitSignal(const sigset_t& signals) {
  int signal = 0;
  while (sigwait(&signals, &signal) != 0) {
  }
  return signal;
}

// Nothing: none came within `limit`.
std::optional<int> AwaitSignal(const sigset_t& signals, const timespec& limit) {
  const int signal = sigtimedwait(&signals, nullptr, &limit);
  return signal < 0 ? std::nullopt : std::optional<int>(signal);
}

// libpq takes from PG* what a target does not say: the password of whoever started the server, for
// example. Before the first thread starts.
void ForgetLibpqEnvironment() {
  std::vector<std::string> names;
  for (const auto& [name, value] : sluice::ProcessEnvironment()) {
    if (absl::StartsWith(name, "PG")) names.push_back(name);
  }
  for (const std::string& name : names) unsetenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
}

void AnnounceReady(const std::string& address) {
  const std::string line = absl::StrCat(R"({"event":"ready","listen":)",
                                        sluice::JsonString(address), R"(,"admin":null})", "\n");
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
}

// Serves until a signal, then ends in order; a second signal cuts the grace short.
void Serve(sluice::App& app, const sigset_t& signals) {
  const int signal = AwaitSignal(signals);
  sluice::log::Info("main", "draining", {{"signal", signal}});
  const pthread_t waiting = pthread_self();
  std::thread shutdown([&app, waiting] {
    app.Shutdown();
    pthread_kill(waiting, kDone);
  });
  for (bool hurried = false;;) {
    const std::optional<int> next = AwaitSignal(signals, kLongEnd);
    if (next == kDone) break;
    if (!next.has_value()) {
      sluice::log::Warning("main", "still going down", {{"awaits", app.awaits()}});
      continue;
    }
    if (hurried)
      std::_Exit(kFailed);  // a third one: something does not end; what was acknowledged is on disk
    app.Hurry();
    hurried = true;
  }
  shutdown.join();
}

int Run(const sluice::Config& config, const sigset_t& signals) {
  const rlimit no_core = {0, 0};  // a core file would hold whatever passed through
  setrlimit(RLIMIT_CORE, &no_core);
  sluice::log::Init(*sluice::log::ParseLevel(config.settings.log.level));
  for (const std::string& note : config.notes) sluice::log::Info("config", note);
  sluice::App app(config.settings);
  const absl::Status started = app.Start();
  if (!started.ok()) {
    sluice::log::Shutdown();
    std::cerr << "sluiced: " << started.message() << "\n";
    return kFailed;
  }
  AnnounceReady(app.address());
  sluice::log::Info("main", "serving", {{"listen", app.address()}, {"version", SLUICE_VERSION}});
  Serve(app, signals);
  sluice::log::Info("main", "ended");
  sluice::log::Shutdown();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // A login that some server drags out is computed in OpenSSL by a thread that may outlive main.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
  // Debian builds Abseil with its deadlock detector on, and gRPC locks through Abseil: it costs
  // every call a microsecond, and would abort the server on a suspicion.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const sigset_t signals = BlockSignals();
  ForgetLibpqEnvironment();
  sluice::App::GiveStacks();
  sluice::ConfigSources sources;
  bool print_config = false;
  CLI::App cli("Sluice: one gRPC door to your databases.", "sluiced");
  cli.set_version_flag("--version", "sluiced " SLUICE_VERSION);
  cli.footer(
      "Exit codes: 0 after an orderly end, 1 when it could not start, 2 for wrong usage or "
      "configuration.");
  cli.add_flag("--print-config", print_config, "Show every setting with its origin, and exit");
  std::map<std::string, std::string> values;
  const auto add = [&](const std::string& flag, const std::string& key,
                       const std::string& description) {
    cli.add_option(flag, values[key], description);
  };
  add("--config", "config", "Configuration file (TOML)");
  for (const sluice::SettingSpec& spec : sluice::SettingSpecs()) {
    add(spec.flag(), std::string(spec.key), std::string(spec.description));
  }
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? 0 : kUsage;
  }
  if (cli.get_option("--config")->count() > 0) sources.flags["config"] = values["config"];
  for (const sluice::SettingSpec& spec : sluice::SettingSpecs()) {
    if (cli.get_option(spec.flag())->count() > 0)
      sources.flags[std::string(spec.key)] = values[std::string(spec.key)];
  }
  sources.environment = sluice::ProcessEnvironment();
  const auto config = sluice::LoadConfig(sources);
  if (!config.ok()) {
    std::cerr << "sluiced: " << config.status().message() << "\n";
    return kUsage;
  }
  if (print_config) {
    std::cout << sluice::PrintConfig(*config);
    return 0;
  }
  return Run(*config, signals);
}
