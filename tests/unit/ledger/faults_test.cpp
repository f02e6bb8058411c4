// kill -9, disks that are full or read-only, damaged files: the limiter goes on, and what can be kept is
// kept.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>

#include <gmock/gmock.h>

#include "fixtures.hpp"

namespace sluice {
namespace {

using test::admit_one;
using test::charge_of;
using test::kSmallLimiter;
using test::LedgerTest;
using testing::AnyOf;
using testing::HasSubstr;

constexpr Rate kPlenty{1'000'000, kHour};

constexpr int kMostDeadStarts = 2;

class LedgerFaults : public LedgerTest {
  protected:
    // A ledger of `keys` keys, each with 20 requests.
    void fill(std::uint64_t keys) {
        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        for (std::uint64_t i = 0; i < keys * 20; ++i) {
            admit_one(limiter, charge_of(i % keys, {100, kHour}),
                      now_ + static_cast<Nanos>(i) * kMicrosecond);
        }
        ASSERT_TRUE(store_all(limiter, *ledger, now_));
        ASSERT_TRUE(ledger->close(now_));
    }
};

// The child spends without end and says after each flush how much was spent before it; the parent kills it
// anywhere.
TEST_F(LedgerFaults, KillDuringFlushesLosesNothingFlushedAndCorruptsNothing) {
    const int rounds = test::kSanitized ? 3 : 8;
    std::mt19937 random{7};
    std::uint64_t known = 0;  // flushed, as the children said
    std::uint64_t restored = 0;
    for (int round = 0; round < rounds; ++round) {
        std::array<int, 2> pipe{};
        ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            Limiter limiter{kSmallLimiter};
            auto ledger = open();
            if (!ledger || !ledger->recover(limiter, ledger_now())) ::_exit(1);
            std::uint64_t spent = used(limiter, charge_of(0, kPlenty), ledger_now());
            for (std::uint64_t i = 1;; ++i) {
                const std::array charges{charge_of(0, kPlenty),
                                         charge_of(i % 3000, {100, kHour}, 1, "other")};
                std::array<ChargeResult, 2> results;
                if (limiter.admit(charges, ledger_now(), results).admitted) ++spent;
                if (i % 64 != 0) continue;
                if (!store_all(limiter, *ledger, ledger_now())) ::_exit(1);
                if (::write(pipe[1], &spent, sizeof spent) != sizeof spent) ::_exit(1);
            }
        }
        ::close(pipe[1]);
        std::uint64_t told = 0;
        ASSERT_EQ(::read(pipe[0], &told, sizeof told), static_cast<ssize_t>(sizeof told))
            << "child never flushed";
        ::usleep(static_cast<useconds_t>(random() % 30'000));
        ::kill(child, SIGKILL);
        int status = 0;
        ::waitpid(child, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child gave up by itself";
        do known = told;
        while (::read(pipe[0], &told, sizeof told) == static_cast<ssize_t>(sizeof told));
        ::close(pipe[0]);

        Limiter limiter{kSmallLimiter};
        auto ledger = open();
        const auto recovery = ledger->recover(limiter, ledger_now());
        ASSERT_TRUE(recovery) << recovery.error().message;
        EXPECT_EQ(recovery->damaged, 0U);
        EXPECT_EQ(recovery->notice, "");
        EXPECT_FALSE(recovery->clean);
        restored = used(limiter, charge_of(0, kPlenty), ledger_now());
        EXPECT_GE(restored, known);
        EXPECT_LE(restored, known + 64) << "more than was ever spent";
    }
    EXPECT_GT(restored, 64U * static_cast<unsigned>(rounds));
}

// A limit on file size stands for a disk that is full: the write fails, the rest of the process does not.
TEST_F(LedgerFaults, FullDiskIsReportedAndNothingIsLost) {
    auto ledger = open();
    Limiter limiter{kSmallLimiter};
    const auto former_handler = ::signal(SIGXFSZ, SIG_IGN);
    rlimit former{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &former), 0);
    const rlimit small{.rlim_cur = 256 << 10, .rlim_max = former.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);

    for (std::uint64_t i = 0; i < 10'000; ++i)
        ASSERT_TRUE(admit_one(limiter, charge_of(i, kPlenty), now_).admitted);
    const auto stored = store_all(limiter, *ledger, now_);
    EXPECT_FALSE(stored);
    EXPECT_FALSE(ledger->health().up);
    EXPECT_THAT(ledger->health().error, HasSubstr("data.mdb: Input/output error"));
    EXPECT_EQ(ledger->health().failures, 1U);
    EXPECT_EQ(limiter.stats().changes, 10'000U) << "kept for the next flush";
    ASSERT_TRUE(admit_one(limiter, charge_of(1, kPlenty), now_).admitted) << "the limiter goes on";

    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &former), 0);
    ::signal(SIGXFSZ, former_handler);
    const auto again = store_all(limiter, *ledger, now_ + kSecond);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(ledger->health().up);
    EXPECT_EQ(ledger->health().error, "");
    ledger.reset();
    Limiter restored{kSmallLimiter};
    EXPECT_EQ(open()->recover(restored, now_)->restored, 10'000U);
    EXPECT_EQ(used(restored, charge_of(1, kPlenty), now_), 2U);
}

TEST_F(LedgerFaults, FullTmpfs) {
    if (::geteuid() != 0)
        GTEST_SKIP() << "mounting needs root; FullDiskIsReportedAndNothingIsLost covers it without";
    EXPECT_EQ(in_child([&] {
                  const std::string mount_point = directory_.path() + "/small";
                  ASSERT_EQ(::mkdir(mount_point.c_str(), 0700), 0);
                  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
                  ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
                  ASSERT_EQ(::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=512k"), 0);
                  auto ledger = open({.directory = mount_point + "/ledger"});
                  Limiter limiter{kSmallLimiter};
                  for (std::uint64_t i = 0; i < 10'000; ++i) admit_one(limiter, charge_of(i, kPlenty), now_);
                  EXPECT_EQ(store_all(limiter, *ledger, now_).error().code, ErrorCode::kExhausted);
                  EXPECT_THAT(ledger->health().error, HasSubstr("No space left"));
                  ASSERT_EQ(::mount("tmpfs", mount_point.c_str(), "tmpfs", MS_REMOUNT, "size=16m"), 0);
                  EXPECT_TRUE(store_all(limiter, *ledger, now_));
                  EXPECT_TRUE(ledger->health().up);
                  // Gone read-only at the restart: what is stored is read, and the ledger says it is down.
                  ledger.reset();
                  ASSERT_EQ(
                      ::mount("tmpfs", mount_point.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=16m"), 0);
                  ledger = open({.directory = mount_point + "/ledger"});
                  Limiter next{kSmallLimiter};
                  const auto recovery = ledger->recover(next, now_);
                  EXPECT_EQ(recovery->restored, 10'000U);
                  EXPECT_THAT(recovery->notice, HasSubstr("Read-only file system"));
                  EXPECT_FALSE(ledger->health().up);
                  admit_one(next, charge_of(1, kPlenty), now_);
                  EXPECT_FALSE(store_all(next, *ledger, now_));
                  ASSERT_EQ(::mount("tmpfs", mount_point.c_str(), "tmpfs", MS_REMOUNT, "size=16m"), 0);
                  EXPECT_TRUE(store_all(next, *ledger, now_)) << "opened anew by itself";
                  EXPECT_TRUE(ledger->health().up);
              }),
              0);
}

TEST_F(LedgerFaults, ReadOnlyFileIsReadAndReported) {
    fill(100);
    std::filesystem::permissions(directory_.path(), std::filesystem::perms::all);
    for (const auto& path : {data_file(), config().directory}) {
        ASSERT_EQ(::chown(path.c_str(), ::geteuid() == 0 ? 65534 : ::geteuid(), static_cast<gid_t>(-1)), 0);
    }
    ASSERT_EQ(::chmod(data_file().c_str(), 0400), 0);
    ASSERT_EQ(::chmod(config().directory.c_str(), 0500), 0);
    EXPECT_EQ(in_child([&] {
                  if (::geteuid() == 0) {  // root may write anything
                      ASSERT_EQ(::setuid(65534), 0);
                  }
                  auto ledger = open();
                  Limiter limiter{kSmallLimiter};
                  const auto recovery = ledger->recover(limiter, now_);
                  ASSERT_TRUE(recovery);
                  EXPECT_EQ(recovery->restored, 100U);
                  EXPECT_THAT(recovery->notice, HasSubstr("not writable"));
                  EXPECT_FALSE(ledger->health().up);
                  admit_one(limiter, charge_of(1, kPlenty), now_);
                  EXPECT_FALSE(store_all(limiter, *ledger, now_));
                  EXPECT_THAT(ledger->health().error, HasSubstr("Permission denied"));
              }),
              0);
    ASSERT_EQ(::chmod(config().directory.c_str(), 0700), 0);
}

TEST_F(LedgerFaults, ForeignFileIsMovedAside) {
    ASSERT_EQ(::mkdir(config().directory.c_str(), 0700), 0);
    std::ofstream{data_file()} << std::string(20'000, 'x');
    auto ledger = open();
    Limiter limiter{kSmallLimiter};
    const auto recovery = ledger->recover(limiter, now_);
    EXPECT_EQ(recovery->restored, 0U);
    EXPECT_THAT(recovery->notice, HasSubstr("moved aside to " + data_file() + ".corrupt-"));
    EXPECT_EQ(moved_aside(), 1U);
    EXPECT_TRUE(ledger->health().up);
    EXPECT_TRUE(ledger->put_document("a", "b")) << "the new one works";
}

TEST_F(LedgerFaults, FileOfAnotherFormatIsMovedAside) {
    fill(10);
    {
        LmdbEnv::OpenError error;
        auto env = LmdbEnv::open(config().directory, LmdbEnv::Access::kReadWrite, 1 << 20, 1 << 20, error);
        ASSERT_TRUE(env->write("test", [](MDB_txn* txn, const LmdbTables& tables) {
            MDB_val key = to_val("format");
            MDB_val value = to_val(std::string_view{"\2\0\0\0", 4});
            return mdb_put(txn, tables.meta, &key, &value, 0);
        }));
    }
    Limiter limiter{kSmallLimiter};
    EXPECT_THAT(open()->recover(limiter, now_)->notice, HasSubstr("format 2, this version reads 1"));
    EXPECT_EQ(moved_aside(), 1U);
}

TEST_F(LedgerFaults, DamagedRecordIsDroppedAlone) {
    fill(10);
    {
        LmdbEnv::OpenError error;
        auto env = LmdbEnv::open(config().directory, LmdbEnv::Access::kReadWrite, 1 << 20, 1 << 20, error);
        ASSERT_TRUE(env->write("test", [](MDB_txn* txn, const LmdbTables& tables) {
            const KeyHash name = charge_of(3, {100, kHour}).key;
            MDB_val key{sizeof name, const_cast<KeyHash*>(&name)};
            MDB_val value{};
            if (const int code = mdb_get(txn, tables.windows, &key, &value); code != 0) return code;
            std::string record{to_bytes(value)};
            record[30] = static_cast<char>(record[30] ^ 4);
            value = to_val(record);
            return mdb_put(txn, tables.windows, &key, &value, 0);
        }));
    }
    Limiter limiter{kSmallLimiter};
    const auto recovery = open()->recover(limiter, now_);
    EXPECT_EQ(recovery->restored, 9U);
    EXPECT_EQ(recovery->damaged, 1U);
    EXPECT_EQ(moved_aside(), 0U);
}

// Whatever became of the file, at the latest the third start works; and nothing untrue is restored.
TEST_F(LedgerFaults, AnyDamageIsSurvivedByTheThirdStart) {
    const int rounds = test::kSanitized ? 4 : 20;
    std::mt19937 random{11};
    for (int round = 0; round < rounds; ++round) {
        std::filesystem::remove_all(config().directory);
        fill(500);
        const auto size = std::filesystem::file_size(data_file());
        if (round % 4 == 0) {
            std::filesystem::resize_file(data_file(), random() % size);
        } else {
            std::fstream file{data_file(), std::ios::in | std::ios::out | std::ios::binary};
            for (unsigned i = 0; i < 1U + static_cast<unsigned>(round % 20) * 4; ++i) {
                const std::string junk(1 + random() % 200, static_cast<char>(random()));
                file.seekp(static_cast<std::streamoff>(random() % size));
                file.write(junk.data(), static_cast<std::streamsize>(junk.size()));
            }
        }
        const auto start = [&] {
            auto ledger = open();
            ASSERT_NE(ledger, nullptr);
            Limiter limiter{kSmallLimiter};
            const auto recovery = ledger->recover(limiter, now_);
            ASSERT_TRUE(recovery) << recovery.error().message;
            EXPECT_LE(recovery->restored, 500U);
            for (std::uint64_t i = 0; i < 100; ++i) {
                EXPECT_THAT(used(limiter, charge_of(i, {100, kHour}), now_), AnyOf(0U, 20U));
            }
            for (std::uint64_t i = 0; i < 2000; ++i)
                admit_one(limiter, charge_of(i, kPlenty, 1, "new"), now_);
            // Damage may show only now; then the file is moved aside, and the next flush begins a new one.
            if (store_all(limiter, *ledger, now_)) return;
            EXPECT_THAT(ledger->health().notice, HasSubstr("moved aside")) << ledger->health().error;
            EXPECT_TRUE(store_all(limiter, *ledger, now_)) << ledger->health().error;
        };
        const auto silent_start = [&] {  // LMDB says on stderr what it dies of
            const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
            ::dup2(null, STDERR_FILENO);
            for (const int deadly : {SIGSEGV, SIGBUS})
                ::signal(deadly, SIG_DFL);  // not AddressSanitizer's report
            start();
        };
        int outcome = in_child(silent_start);
        for (int died = 0; died < kMostDeadStarts && outcome >= 128; ++died) outcome = in_child(silent_start);
        ASSERT_EQ(outcome, 0) << "round " << round;
    }
}

TEST_F(LedgerFaults, FileThatCrashedTwoStartsInARowIsMovedAside) {
    fill(10);
    const auto ends_by = [&](int signal) {
        return in_child([&] {
            ::signal(signal, SIG_DFL);  // not AddressSanitizer's report
            const auto ledger = open();
            // An address, not raise(): what a damaged page does, again and again until someone ends it.
            if (signal == SIGSEGV)
                *static_cast<volatile int*>(
                    ::mmap(nullptr, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) = 1;
            signal == SIGABRT ? std::abort() : static_cast<void>(::raise(signal));
        });
    };
    Limiter limiter{kSmallLimiter};
    EXPECT_EQ(ends_by(SIGSEGV), 128 + SIGSEGV);
    EXPECT_EQ(open()->recover(limiter, now_)->restored, 10U) << "that can be anything";
    EXPECT_EQ(ends_by(SIGSEGV), 128 + SIGSEGV);
    EXPECT_EQ(ends_by(SIGABRT), 128 + SIGABRT);
    EXPECT_THAT(open()->recover(limiter, now_)->notice, HasSubstr("the last 2 starts crashed with it"));
    EXPECT_EQ(moved_aside(), 1U);
    EXPECT_EQ(open()->recover(limiter, now_)->notice, "");
}

TEST_F(LedgerFaults, StartsKilledFromOutsideCostNothing) {
    fill(10);
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(in_child([&] {
                      const auto ledger = open();
                      ::raise(SIGKILL);
                  }),
                  128 + SIGKILL);
    }
    Limiter limiter{kSmallLimiter};
    EXPECT_EQ(open()->recover(limiter, now_)->restored, 10U);
    EXPECT_EQ(moved_aside(), 0U);
}

}  // namespace
}  // namespace sluice
