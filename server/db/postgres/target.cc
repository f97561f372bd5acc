#include "server/db/postgres/target.h"

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "server/base/errors.h"
#include "server/base/status.h"
#include "server/base/utf8.h"
#include "server/db/postgres/egress.h"

namespace sluice::postgres {
namespace {

constexpr size_t kMostHosts = 8;
constexpr size_t kNameBytes = 255;
constexpr size_t kPasswordBytes = 4096;
constexpr size_t kSettingBytes = 63;  // the server cuts names there
constexpr int kMostPort = 65535;

// Beneath a device there is no file, so libpq never finds one there, nor in the home folder.
constexpr absl::string_view kNoFile = "/dev/null/none";
constexpr absl::string_view kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

// A keyword of libpq that is taken: one of a few words, or a number, or a short text.
struct Keyword {
  absl::string_view name;
  absl::string_view choices = "";
  int min = 0;
  int max = 0;
};

constexpr Keyword kKeywords[] = {
    {"sslmode", "disable|allow|prefer|require|verify-ca|verify-full"},
    {"channel_binding", "disable|prefer|require"},
    {"target_session_attrs", "any|read-write|read-only|primary|standby|prefer-standby"},
    {"connect_timeout", "", 1, 60},  // seconds
    {"keepalives", "", 0, 1},
    {"keepalives_idle", "", 1, 7200},      // seconds
    {"keepalives_interval", "", 1, 7200},  // seconds
    {"keepalives_count", "", 1, 100},
    {"application_name"},
};

struct OwnNumber {
  absl::string_view name;
  std::optional<int> ConnectTarget::*field;
  int min = 0;
  int max = 0;
};

constexpr OwnNumber kOwnNumbers[] = {
    {"pool_min", &ConnectTarget::pool_min, 0, 1000},
    {"pool_max", &ConnectTarget::pool_max, 1, 1000},
    {"pool_overflow", &ConnectTarget::pool_overflow, 0, 1000},
    {"pool_waiters", &ConnectTarget::pool_waiters, 0, 1'000'000},
    {"statement_cache", &ConnectTarget::statement_cache, 1, 100'000},
    {"lanes", &ConnectTarget::lanes, 0, 16},
};

struct OwnDuration {
  absl::string_view name;
  std::optional<absl::Duration> ConnectTarget::*field;
  absl::Duration min;
  absl::Duration max;
};

constexpr OwnDuration kOwnDurations[] = {
    {"pool_acquire_timeout", &ConnectTarget::pool_acquire_timeout, absl::Milliseconds(1),
     absl::Hours(1)},
    {"pool_idle_timeout", &ConnectTarget::pool_idle_timeout, absl::Seconds(1), absl::Hours(24)},
    {"pool_recycle", &ConnectTarget::pool_recycle, absl::ZeroDuration(), absl::Hours(24 * 30)},
    {"pool_pre_ping", &ConnectTarget::pool_pre_ping, absl::ZeroDuration(), absl::Hours(24)},
    {"lane_allowance", &ConnectTarget::lane_allowance, absl::Milliseconds(10), absl::Seconds(10)},
    {"commit_grace", &ConnectTarget::commit_grace, absl::Milliseconds(100), absl::Hours(1)},
};

constexpr absl::string_view kPooler = "pooler";
constexpr absl::string_view kHygiene = "session_hygiene";
constexpr absl::string_view kSessionSettings = "session_settings";
constexpr absl::string_view kRootCertificate = "sslrootcert";

// What libpq knows and nobody may say here: it would use what belongs to the server's own user,
// change who speaks or how, or undo what is decided elsewhere.
constexpr absl::string_view kRefused[] = {
    "service",
    "servicefile",
    "passfile",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslrootcert",
    "sslsni",
    "sslcompression",
    "sslnegotiation",
    "sslkeylogfile",
    "requiressl",
    "requirepeer",
    "require_auth",
    "scram_client_key",
    "options",
    "replication",
    "scram_server_key",
    "gssencmode",
    "gsslib",
    "gssdelegation",
    "krbsrvname",
    "hostaddr",
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "client_encoding",
    "authtype",
    "tty",
    "tcp_user_timeout",
    "load_balance_hosts",
    "fallback_application_name",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "oauth_issuer",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_scope",
};

absl::Status Invalid(absl::string_view why) {
  return errors::ConnectionOptionUnknown(why);
}

absl::Status WrongValue(absl::string_view name, absl::string_view right) {
  return Invalid(absl::StrCat("the option '", name, "' must be ", right));
}

std::string NamesOfOptions() {
  std::vector<absl::string_view> names;
  for (const Keyword& keyword : kKeywords) names.push_back(keyword.name);
  for (const OwnNumber& option : kOwnNumbers) names.push_back(option.name);
  for (const OwnDuration& option : kOwnDurations) names.push_back(option.name);
  names.insert(names.end(), {kHygiene, kSessionSettings, kPooler});
  return absl::StrJoin(names, ", ");
}

// Names that may be repeated in a message: nothing that could be a piece of a password.
bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '_';
  });
}

absl::Status NotTaken(absl::string_view name) {
  if (std::find(std::begin(kRefused), std::end(kRefused), name) != std::end(kRefused)) {
    return Invalid(absl::StrCat("the option '", name,
                                "' is not taken by this server; leave it away. There are ",
                                NamesOfOptions()));
  }
  if (!IsPlainName(name)) return Invalid("an option of the target has an impossible name");
  return Invalid(
      absl::StrCat("the option '", name, "' is not known; there are ", NamesOfOptions()));
}

bool IsText(const std::string& text, size_t max_bytes) {
  return text.size() <= max_bytes && IsValidUtf8(text) &&
         std::none_of(text.begin(), text.end(),
                      [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); });
}

absl::StatusOr<int> NumberOf(absl::string_view name, const std::string& value, int min, int max) {
  int number = 0;
  if (absl::SimpleAtoi(value, &number) && number >= min && number <= max) return number;
  return WrongValue(name, absl::StrCat("a number from ", min, " to ", max));
}

// 30, 30s, 250ms.
absl::StatusOr<absl::Duration> DurationOf(const OwnDuration& option, const std::string& value) {
  absl::Duration duration;
  int seconds = 0;
  if (absl::SimpleAtoi(value, &seconds)) {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(value, &duration)) {
    return WrongValue(option.name, "a duration such as 250ms, 30s or 5m");
  }
  if (duration >= option.min && duration <= option.max) return duration;
  return WrongValue(option.name, absl::StrCat("from ", absl::FormatDuration(option.min), " to ",
                                              absl::FormatDuration(option.max)));
}

absl::Status CheckKeyword(const Keyword& keyword, const std::string& value) {
  if (!keyword.choices.empty()) {
    const std::vector<absl::string_view> choices = absl::StrSplit(keyword.choices, '|');
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return absl::OkStatus();
    return WrongValue(keyword.name, absl::StrCat("one of ", absl::StrJoin(choices, ", ")));
  }
  if (keyword.max > 0) return NumberOf(keyword.name, value, keyword.min, keyword.max).status();
  constexpr size_t kMostText = 63;  // the server cuts it there
  if (IsText(value, kMostText)) return absl::OkStatus();
  return WrongValue(keyword.name, "at most 63 bytes of text");
}

// Letters, digits, `_` and `$`, and no digit first.
bool IsWord(absl::string_view word) {
  return !word.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(word.front())) &&
         std::all_of(word.begin(), word.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$';
         });
}

using Keywords = std::map<std::string, std::string>;

// One of our own. False: it is none.
absl::StatusOr<bool> TakeOwn(const std::string& name,
                             const std::string& value,
                             ConnectTarget& out) {
  for (const OwnNumber& option : kOwnNumbers) {
    if (option.name != name) continue;
    TRY(out.*option.field, NumberOf(name, value, option.min, option.max));
    return true;
  }
  for (const OwnDuration& option : kOwnDurations) {
    if (option.name != name) continue;
    TRY(out.*option.field, DurationOf(option, value));
    return true;
  }
  if (name == kPooler) {
    if (value != "on" && value != "off") return WrongValue(name, "on or off");
    out.pooler = value == "on";
    return true;
  }
  if (name == kHygiene) {
    if (value != "auto" && value != "strict") return WrongValue(name, "auto or strict");
    out.strict_hygiene = value == "strict";
    return true;
  }
  if (name == kSessionSettings) {
    for (const absl::string_view each : absl::StrSplit(value, ',')) {
      out.session_settings.push_back(absl::AsciiStrToLower(absl::StripAsciiWhitespace(each)));
      if (IsOwnSetting(out.session_settings.back())) continue;
      return WrongValue(name, "names such as app.tenant, with commas between them");
    }
    return true;
  }
  return false;
}

absl::Status TakeOption(const std::string& name,
                        const std::string& value,
                        Keywords& keywords,
                        ConnectTarget& out) {
  TRY(const bool own, TakeOwn(name, value, out));
  if (own) return absl::OkStatus();
  if (name == kRootCertificate && out.trusted) {
    if (!IsText(value, 4096) || value.empty()) return WrongValue(name, "a file");
    keywords[name] = value;
    return absl::OkStatus();
  }
  for (const Keyword& keyword : kKeywords) {
    if (keyword.name != name) continue;
    TRY_STATUS(CheckKeyword(keyword, value));
    keywords[name] = value;
    return absl::OkStatus();
  }
  return NotTaken(name);
}

bool IsSocket(const std::string& name) {
  return absl::StartsWith(name, "/") || absl::StartsWith(name, "@");
}

absl::Status CheckHost(const Host& host, bool trusted) {
  if (host.port < 1 || host.port > kMostPort) return Invalid("a port is no number from 1 to 65535");
  if (host.name.empty()) return Invalid("the target names no host");
  if (IsSocket(host.name)) {
    if (!trusted) return Invalid("Unix sockets are for the operator's own connections");
    // libpq splits its list of hosts there.
    return IsText(host.name, kNameBytes) && !absl::StrContains(host.name, ',')
               ? absl::OkStatus()
               : Invalid("the folder of the Unix socket has an impossible name");
  }
  const bool possible =
      host.name.size() <= kNameBytes && std::all_of(host.name.begin(), host.name.end(), [](char c) {
        return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._:%", c);
      });
  return possible ? absl::OkStatus() : Invalid("a host has characters that no host name has");
}

absl::Status CheckLogin(const db::Target& target) {
  if (target.user.empty() && !target.trusted) return Invalid("the target names no user");
  if (!IsText(target.user, kNameBytes)) return Invalid("the user name is too long or no text");
  if (!IsText(target.database, kNameBytes)) {
    return Invalid("the database name is too long or no text");
  }
  if (target.password.size() > kPasswordBytes || absl::StrContains(target.password, '\0')) {
    return Invalid("the password is too long or holds a zero byte");
  }
  return absl::OkStatus();
}

enum class Distance { kHere, kAway, kNotKnown };

Distance DistanceOf(const std::string& name) {
  if (IsSocket(name) || absl::EqualsIgnoreCase(name, "localhost")) return Distance::kHere;
  const std::optional<Address> address = ParseAddress(name);
  if (!address.has_value()) return Distance::kNotKnown;
  return KindOf(*address) == AddressKind::kLoopback ? Distance::kHere : Distance::kAway;
}

bool AnyIs(const std::vector<Host>& hosts, Distance distance) {
  return std::any_of(hosts.begin(), hosts.end(),
                     [&](const Host& host) { return DistanceOf(host.name) == distance; });
}

// Which TLS there is, and that no password goes without it where others could listen.
absl::Status Secure(Keywords& keywords, ConnectTarget& out) {
  const bool said = keywords.count("sslmode") > 0;
  const bool here = !AnyIs(out.hosts, Distance::kAway) && !AnyIs(out.hosts, Distance::kNotKnown);
  const std::string& mode =
      keywords.try_emplace("sslmode", here ? "prefer" : "verify-full").first->second;
  const bool verified = absl::StartsWith(mode, "verify-");
  const bool certain = verified || mode == "require";
  const bool said_by_operator = said && out.trusted;
  out.local_password = !out.password.empty() && !certain && !said_by_operator;
  if (out.local_password && AnyIs(out.hosts, Distance::kAway)) return errors::BackendInsecureAuth();
  // Only binding the login to the TLS channel keeps an impostor from the password then.
  const bool bind = mode == "require" && !out.password.empty();
  keywords.try_emplace("channel_binding", bind ? "require" : "prefer");
  keywords.try_emplace(std::string(kRootCertificate), verified ? kSystemRoots : kNoFile);
  return absl::OkStatus();
}

// What every connection has, whoever asked for it.
void AddDefaults(Keywords& keywords) {
  for (const char* file : {"passfile", "sslcert", "sslkey", "sslcrl"}) {
    keywords[file] = std::string(kNoFile);
  }
  keywords["gssencmode"] = "disable";
  keywords["client_encoding"] = "UTF8";
  keywords["fallback_application_name"] = "sluice";
  keywords["tcp_user_timeout"] = "10000";  // milliseconds
  keywords.try_emplace("connect_timeout", "10");
  keywords.try_emplace("keepalives_idle", "10");
  keywords.try_emplace("keepalives_interval", "5");
  keywords.try_emplace("keepalives_count", "3");
}

}  // namespace

bool IsOwnSetting(absl::string_view name) {
  const size_t dot = name.find('.');
  return name.size() <= kSettingBytes && dot != absl::string_view::npos &&
         IsWord(name.substr(0, dot)) && IsWord(name.substr(dot + 1));
}

absl::StatusOr<ConnectTarget> Judge(const db::Target& target) {
  ConnectTarget out;
  out.trusted = target.trusted;
  if (target.hosts.empty()) return Invalid("the target names no host");
  if (target.hosts.size() > kMostHosts) {
    return Invalid(absl::StrCat("the target names more than ", kMostHosts, " hosts"));
  }
  for (const Host& host : target.hosts) {
    TRY_STATUS(CheckHost(host, target.trusted));
  }
  TRY_STATUS(CheckLogin(target));
  out.hosts = target.hosts;
  out.database = target.database;
  out.user = target.user;
  out.password = target.password;

  Keywords keywords;
  for (const auto& [name, value] : target.options) {
    TRY_STATUS(TakeOption(name, value, keywords, out));
  }
  if (out.pool_min.has_value() && out.pool_max.has_value() && *out.pool_min > *out.pool_max) {
    return Invalid("the option 'pool_min' is more than 'pool_max'");
  }
  TRY_STATUS(Secure(keywords, out));
  AddDefaults(keywords);
  int seconds = 0;
  if (absl::SimpleAtoi(keywords["connect_timeout"], &seconds)) {
    out.connect_timeout = absl::Seconds(seconds);
  }
  out.keywords.assign(keywords.begin(), keywords.end());
  return out;
}

}  // namespace sluice::postgres
