// A directory of its own for each test, gone afterwards, and a limiter that remembers changes.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "ledger/embedded_ledger.hpp"
#include "ledger/flusher.hpp"
#include "unit/limiter/fixtures.hpp"

namespace sluice::test {

inline constexpr LimiterConfig kSmallLimiter{
    .max_keys = 200'000, .max_bytes = 64 << 20, .shards = 4, .track_changes = true};

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string name = std::filesystem::temp_directory_path() / "sluice-ledger-XXXXXX";
        path_ = ::mkdtemp(name.data());
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }

  private:
    std::string path_;
};

class LedgerTest : public testing::Test {
  protected:
    EmbeddedLedgerConfig config() const { return {.directory = directory_.path() + "/ledger"}; }
    std::string data_file() const { return config().directory + "/data.mdb"; }

    std::unique_ptr<EmbeddedLedger> open() { return open(config()); }
    static std::unique_ptr<EmbeddedLedger> open(const EmbeddedLedgerConfig& config) {
        auto ledger = EmbeddedLedger::open(config);
        EXPECT_TRUE(ledger) << ledger.error().message;
        return ledger ? std::move(*ledger) : nullptr;
    }
    // How many files of the ledger were moved aside.
    std::size_t moved_aside() const {
        std::size_t count = 0;
        for (const auto& entry : std::filesystem::directory_iterator{config().directory}) {
            if (entry.path().filename().string().starts_with("data.mdb.corrupt-")) ++count;
        }
        return count;
    }
    static Result<> store_all(Limiter& limiter, Ledger& ledger, Nanos now) {
        KeyBatch batch;
        limiter.drain_changes(SIZE_MAX, batch);
        const auto stored = ledger.store(batch, now);
        if (!stored) limiter.mark_changed(batch);
        return stored;
    }
    static std::uint64_t used(const Limiter& limiter, const Charge& charge, Nanos now) {
        return limiter.usage(charge.key, charge.rate, now).used;
    }
    // Runs body in a child process: its exit code, or 128 + the signal that ended it.
    template <class Body>
    static int in_child(Body&& body) {
        const pid_t child = ::fork();
        if (child == 0) {
            body();
            ::_exit(testing::Test::HasFailure() ? 1 : 0);
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }

    TemporaryDirectory directory_;
    // The real time: recovery compares it with the clock of this boot.
    const Nanos now_ = ledger_now();
};

}  // namespace sluice::test
