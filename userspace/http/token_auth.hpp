// Bearer tokens of the admin API, and the brake on guessing them.
#pragma once

#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"

namespace sluice::http {

// Each includes the ones before it. none: no valid credential.
enum class Role : std::uint8_t { kNone, kViewer, kOperator, kAdmin };
std::string_view to_string(Role role);

using Digest = std::array<std::uint8_t, 32>;
Digest sha256(std::string_view text);

struct Token {
    std::string name;
    Role role = Role::kViewer;
    Digest sha256{};
};

// The tokens file, YAML: a list of {name, role: viewer|operator|admin, sha256: 64 hexadecimal digits of the
// token's SHA-256}. `source` names the text in errors, which give line, column and field.
Result<std::vector<Token>> parse_tokens(std::string_view yaml, std::string_view source);

// One thread.
class TokenStore {
  public:
    // Refuses a file that others than owner and group may read or anyone but the owner may write.
    static Result<TokenStore> load(std::string path);

    // The token whose secret has this digest; compared with all of them in constant time. Valid until the
    // next reload().
    const Token* find(const Digest& digest) const;
    // Rereads the file if it changed (a stat; call it before find()). On an error the old tokens stay.
    Result<> reload();

  private:
    struct Stamp {
        timespec modified{};
        ino_t inode = 0;
        off_t size = 0;
        mode_t mode = 0;
        static Stamp of(const struct stat& status);
        bool operator==(const Stamp& other) const;
    };
    static Result<std::pair<std::vector<Token>, Stamp>> read(const std::string& path);

    std::string path_;
    Stamp stamp_;
    std::vector<Token> tokens_;
};

// After five different wrong tokens a peer has to wait, 1 s at first and twice as long each time, up to a
// minute; while it waits, its wrong tokens are not told apart. A wrong token that comes again is no new guess: a
// client left with an old token does not lock out its neighbours. Forgotten after ten quiet minutes. Peers
// are IPv4 addresses and IPv6 /64s, at most 4096: beyond that, the one that failed longest ago gives way. One
// thread; times of any one clock.
class GuessBrake {
  public:
    // How long the peer still has to wait; 0: go on.
    Nanos wait(const IpAddress& peer, Nanos now) const;
    void failed(const IpAddress& peer, const Digest& wrong, Nanos now);

  private:
    struct Failures {
        unsigned count = 0;  // of different tokens
        Nanos last = 0;
        Nanos until = 0;
        std::array<Digest, 4> recent{};
    };
    std::unordered_map<IpPrefix, Failures> peers_;
};

}  // namespace sluice::http
