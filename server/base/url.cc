#include "server/base/url.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "server/base/errors.h"
#include "server/base/status.h"

namespace sluice {
namespace {

using errors::ConnectionInvalidTarget;

constexpr absl::string_view kForms =
    "write sqlite:///file, sqlite:////absolute/file or postgresql://user:password@host/database";

struct Scheme {
  absl::string_view spelling;
  absl::string_view name;
};

constexpr std::array<Scheme, 9> kSchemes = {{
    {"sqlite", "sqlite"},
    {"sqlite+aiosqlite", "sqlite"},
    {"sqlite+pysqlite", "sqlite"},
    {"postgresql", "postgresql"},
    {"postgres", "postgresql"},
    {"postgresql+asyncpg", "postgresql"},
    {"postgresql+psycopg", "postgresql"},
    {"postgresql+psycopg2", "postgresql"},
    {"postgres+asyncpg", "postgresql"},
}};

// Options of a PostgreSQL URL whose values are no secret.
constexpr std::array<absl::string_view, 9> kShownOptions = {
    "sslmode",         "channel_binding",  "target_session_attrs",
    "connect_timeout", "application_name", "keepalives",
    "keepalives_idle", "keepalives_count", "keepalives_interval"};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// nullopt for a broken escape, and for a NUL, which would end the text early in a C library.
std::optional<std::string> Decode(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    out += c;
  }
  return out;
}

absl::StatusOr<std::string> DecodePart(absl::string_view part, absl::string_view text) {
  std::optional<std::string> decoded = Decode(text);
  if (decoded.has_value()) return *std::move(decoded);
  return ConnectionInvalidTarget(
      absl::StrCat("the database URL's ", part, " has a broken percent-encoding"));
}

// Names that may be repeated in a message: nothing that could be a piece of a password.
bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '_';
  });
}

absl::StatusOr<std::map<std::string, std::string>> ParseOptions(absl::string_view query) {
  std::map<std::string, std::string> options;
  for (const absl::string_view pair : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(pair, absl::MaxSplits('=', 1));
    TRY(std::string name, DecodePart("option", parts.first));
    TRY(std::string value, DecodePart("option", parts.second));
    if (!IsPlainName(name)) {
      return ConnectionInvalidTarget("the database URL has an option with an impossible name");
    }
    if (!options.emplace(name, std::move(value)).second) {
      return ConnectionInvalidTarget(
          absl::StrCat("the database URL gives the option '", name, "' twice"));
    }
  }
  return options;
}

absl::Status SetSwitch(const std::string& name, const std::string& value, bool& out) {
  if (value != "on" && value != "off") {
    return ConnectionInvalidTarget(
        absl::StrCat("the database URL's option '", name, "' must be on or off"));
  }
  out = value == "on";
  return absl::OkStatus();
}

absl::StatusOr<DatabaseUrl> ParseSqlite(absl::string_view rest, absl::string_view query) {
  DatabaseUrl url;
  url.scheme = "sqlite";
  TRY(const auto options, ParseOptions(query));
  for (const auto& [name, value] : options) {
    if (name == "foreign_keys") {
      TRY_STATUS(SetSwitch(name, value, url.foreign_keys));
    } else if (name == "readonly") {
      TRY_STATUS(SetSwitch(name, value, url.read_only));
    } else {
      return errors::ConnectionOptionUnknown(
          absl::StrCat("the option '", name,
                       "' is not known in a SQLite URL; there are foreign_keys and readonly"));
    }
  }
  if (rest == "//" || rest == ":memory:" || rest == "///:memory:") {
    url.in_memory = true;
    return url;
  }
  if (!absl::ConsumePrefix(&rest, "///")) {
    return ConnectionInvalidTarget(
        "a SQLite URL names no host: write sqlite:///relative or sqlite:////absolute");
  }
  TRY(url.path, DecodePart("path", rest));
  if (url.path.empty()) {
    return ConnectionInvalidTarget(
        "the SQLite URL names no file; for a database in memory write sqlite::memory:");
  }
  return url;
}

absl::StatusOr<int> ParsePort(absl::string_view text) {
  int port = 0;
  if (absl::SimpleAtoi(text, &port) && port >= 1 && port <= 65535) return port;
  return ConnectionInvalidTarget(
      "the database URL's port is no number from 1 to 65535; characters such as : / @ in a "
      "password must be percent-encoded");
}

absl::StatusOr<DatabaseHost> ParseHost(absl::string_view text) {
  absl::string_view port;
  if (absl::ConsumePrefix(&text, "[")) {
    const size_t end = text.find(']');
    if (end == absl::string_view::npos) {
      return ConnectionInvalidTarget("the database URL's IPv6 address lacks its closing bracket");
    }
    port = text.substr(end + 1);
    text = text.substr(0, end);
  } else if (const size_t colon = text.find(':'); colon != absl::string_view::npos) {
    port = text.substr(colon);
    text = text.substr(0, colon);
  }
  DatabaseHost host;
  TRY(host.name, DecodePart("host", text));
  if (host.name.empty()) return ConnectionInvalidTarget("the database URL names no host");
  if (port.empty() || port == ":") return host;
  // What follows a bracket is a port, or nothing.
  TRY(host.port, ParsePort(absl::ConsumePrefix(&port, ":") ? port : ""));
  return host;
}

// Removes an option; empty if there is none.
std::string Take(std::map<std::string, std::string>& options, const std::string& name) {
  const auto found = options.find(name);
  if (found == options.end()) return "";
  std::string value = std::move(found->second);
  options.erase(found);
  return value;
}

absl::Status TakePart(DatabaseUrl& url, const std::string& name, std::string& part) {
  std::string value = Take(url.options, name);
  if (value.empty()) return absl::OkStatus();
  if (!part.empty()) {
    return ConnectionInvalidTarget(
        absl::StrCat("the database URL gives its ", name, " before the ? and after it"));
  }
  part = std::move(value);
  return absl::OkStatus();
}

// ?host=a,b&port=1,2, as libpq has them: one port for all, or one for each.
absl::Status TakeHosts(DatabaseUrl& url) {
  const std::string hosts = Take(url.options, "host");
  const std::string ports = Take(url.options, "port");
  if (hosts.empty() && ports.empty()) return absl::OkStatus();
  if (hosts.empty() || !url.hosts.empty()) {
    return ConnectionInvalidTarget(
        "the database URL's options host and port go together, with no host before the ?");
  }
  const std::vector<std::string> names = absl::StrSplit(hosts, ',');
  const std::vector<std::string> numbers = absl::StrSplit(ports, ',');
  if (numbers.size() != 1 && numbers.size() != names.size()) {
    return ConnectionInvalidTarget("the database URL has neither one port nor one for each host");
  }
  for (size_t i = 0; i < names.size(); ++i) {
    DatabaseHost host;
    host.name = names[i];
    if (host.name.empty()) return ConnectionInvalidTarget("the database URL names no host");
    const std::string& port = numbers.size() == 1 ? numbers[0] : numbers[i];
    if (!port.empty()) {
      TRY(host.port, ParsePort(port));
    }
    url.hosts.push_back(std::move(host));
  }
  return absl::OkStatus();
}

absl::StatusOr<DatabaseUrl> ParsePostgres(absl::string_view rest, absl::string_view query) {
  DatabaseUrl url;
  url.scheme = "postgresql";
  if (!absl::ConsumePrefix(&rest, "//")) {
    return ConnectionInvalidTarget("the database URL lacks // after its scheme");
  }
  TRY(url.options, ParseOptions(query));
  const size_t slash = rest.find('/');
  absl::string_view authority = rest.substr(0, slash);
  if (slash != absl::string_view::npos) {
    TRY(url.database, DecodePart("database name", rest.substr(slash + 1)));
  }
  if (const size_t at = authority.rfind('@'); at != absl::string_view::npos) {
    const std::pair<absl::string_view, absl::string_view> login =
        absl::StrSplit(authority.substr(0, at), absl::MaxSplits(':', 1));
    TRY(url.user, DecodePart("user name", login.first));
    TRY(url.password, DecodePart("password", login.second));
    authority.remove_prefix(at + 1);
  }
  if (!authority.empty()) {
    for (const absl::string_view part : absl::StrSplit(authority, ',')) {
      TRY(DatabaseHost host, ParseHost(part));
      url.hosts.push_back(std::move(host));
    }
  }
  TRY_STATUS(TakeHosts(url));
  TRY_STATUS(TakePart(url, "user", url.user));
  TRY_STATUS(TakePart(url, "password", url.password));
  TRY_STATUS(TakePart(url, "dbname", url.database));
  if (url.hosts.empty()) return ConnectionInvalidTarget("the database URL names no host");
  return url;
}

std::string RedactedQuery(const std::map<std::string, std::string>& options) {
  std::string out;
  for (const auto& [name, value] : options) {
    const bool shown =
        std::find(kShownOptions.begin(), kShownOptions.end(), name) != kShownOptions.end();
    absl::StrAppend(&out, out.empty() ? "?" : "&", name, "=", shown ? PercentEncode(value) : "***");
  }
  return out;
}

}  // namespace

std::string JoinHosts(const std::vector<DatabaseHost>& hosts) {
  std::string out;
  for (const DatabaseHost& host : hosts) {
    const bool ipv6 = absl::StrContains(host.name, ':');
    absl::StrAppend(&out, out.empty() ? "" : ",", ipv6 ? "[" : "",
                    PercentEncode(host.name, ipv6 ? ":" : ""), ipv6 ? "]" : "", ":", host.port);
  }
  return out;
}

std::string PercentEncode(absl::string_view text, absl::string_view keep) {
  constexpr absl::string_view kHex = "0123456789ABCDEF";
  constexpr absl::string_view kUnreserved = "-._~";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || absl::StrContains(kUnreserved, c) ||
        absl::StrContains(keep, c)) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string DatabaseUrl::Redacted() const {
  if (scheme == "sqlite") {
    std::string query;
    if (!foreign_keys) query += "foreign_keys=off";
    if (read_only) query += query.empty() ? "readonly=on" : "&readonly=on";
    if (!query.empty()) query.insert(0, "?");
    return in_memory ? absl::StrCat("sqlite::memory:", query)
                     : absl::StrCat("sqlite:///", PercentEncode(path, "/"), query);
  }
  return absl::StrCat(scheme, "://", PercentEncode(user), password.empty() ? "" : ":***",
                      user.empty() && password.empty() ? "" : "@", JoinHosts(hosts), "/",
                      PercentEncode(database), RedactedQuery(options));
}

absl::StatusOr<DatabaseUrl> ParseDatabaseUrl(absl::string_view url) {
  const size_t colon = url.find(':');
  if (colon == absl::string_view::npos) {
    return ConnectionInvalidTarget(absl::StrCat("this is no database URL; ", kForms));
  }
  const std::string spelling = absl::AsciiStrToLower(url.substr(0, colon));
  const auto scheme = std::find_if(kSchemes.begin(), kSchemes.end(),
                                   [&spelling](const Scheme& s) { return s.spelling == spelling; });
  if (scheme == kSchemes.end()) {
    return ConnectionInvalidTarget(
        absl::StrCat("the database URL's scheme is not known; ", kForms));
  }
  absl::string_view rest = url.substr(colon + 1);
  absl::string_view query;
  if (const size_t mark = rest.find('?'); mark != absl::string_view::npos) {
    query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  return scheme->name == "sqlite" ? ParseSqlite(rest, query) : ParsePostgres(rest, query);
}

}  // namespace sluice
