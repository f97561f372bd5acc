#include "server/base/url.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

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
constexpr int kPostgresPort = 5432;

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

absl::Status ParseHost(absl::string_view text, DatabaseUrl& url) {
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
  TRY(url.host, DecodePart("host", text));
  if (url.host.empty()) return ConnectionInvalidTarget("the database URL names no host");
  url.port = kPostgresPort;
  if (port.empty() || port == ":") return absl::OkStatus();
  if (!absl::ConsumePrefix(&port, ":") || !absl::SimpleAtoi(port, &url.port) || url.port < 1 ||
      url.port > 65535) {
    return ConnectionInvalidTarget(
        "the database URL's port is no number from 1 to 65535; characters such as : / @ in a "
        "password must be percent-encoded");
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
  TRY_STATUS(ParseHost(authority, url));
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
  const bool ipv6 = absl::StrContains(host, ':');
  return absl::StrCat(scheme, "://", PercentEncode(user), password.empty() ? "" : ":***",
                      user.empty() && password.empty() ? "" : "@", ipv6 ? "[" : "",
                      PercentEncode(host, ipv6 ? ":" : ""), ipv6 ? "]" : "", ":", port, "/",
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
