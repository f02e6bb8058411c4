#include "api/policy_control.hpp"

#include "plane_fixture.hpp"

namespace sluice {
namespace {

std::string policy_text(const std::string& rate) {
    return "name: test\nkernel: {mode: enforce, deny: [{file: deny.txt}]}\n"
           "limits:\n  - {name: ip, per: ip, rate: " +
           rate + "}\n";
}

class PolicyControlTest : public PlaneTest {
  protected:
    void SetUp() override {
        write("deny.txt", "198.51.100.0/24\n");
        write("policy.yaml", policy_text("10/h"));
        control_ = make();
        std::string note;
        const auto started = control_->start(note);
        ASSERT_TRUE(started) << started.error().message();
    }

    std::unique_ptr<PolicyControl> make() {
        return std::make_unique<PolicyControl>(
            path("policy.yaml"), hasher_, ledger_, *log_, metrics_,
            [this](std::shared_ptr<const ActivePolicy> policy) -> Result<> {
                if (auto applied = kernel_.apply(policy->policy->kernel, {}, {}, policy->generation);
                    !applied)
                    return applied;
                plane_->policy.publish(std::move(policy));
                return {};
            });
    }
    std::string rate_in_force() { return to_string(plane_->policy.load()->policy->limits.at(0).rate); }
    // Two looks: a change counts once it rests.
    void look_twice() {
        control_->tick(monotonic_now());
        control_->tick(monotonic_now());
    }

    FakeKernel kernel_;
    MemoryLedger ledger_;
    Metrics metrics_;
    std::unique_ptr<PolicyControl> control_;
    const Actor alice_{"alice", "unix socket", "admin", ""};
};

TEST_F(PolicyControlTest, TheFirstPolicyIsTheFiles) {
    EXPECT_EQ(rate_in_force(), "10/h");
    EXPECT_EQ(control_->version().origin, "file");
    EXPECT_EQ(control_->version().n, 1U);
    EXPECT_EQ(kernel_.generation(), 1U);
}

TEST_F(PolicyControlTest, WarnsOfWhatCountsOnEachHostWhereHostsShareALedger) {
    const std::string text =
        "name: test\nlimits:\n  - {name: ip, per: ip, rate: 10/h}\n"
        "  - {name: streams, per: ip, concurrent: 3}\n";
    EXPECT_TRUE(control_->check(text, "new.yaml")->warnings.empty());
    ledger_.ledger_kind = "redis";
    const auto shared = make()->check(text, "new.yaml");
    ASSERT_TRUE(shared) << shared.error().message();
    ASSERT_EQ(shared->warnings.size(), 1U);
    EXPECT_EQ(shared->warnings[0].severity, Severity::kWarning);
    EXPECT_EQ(shared->warnings[0].path, "$.limits[1].concurrent");
    EXPECT_EQ(shared->warnings[0].line, 4U);
    EXPECT_TRUE(make()->check(policy_text("10/h"), "new.yaml")->warnings.empty());
}

TEST_F(PolicyControlTest, ApplyIsAtomicNamedAndAudited) {
    const auto applied = control_->apply(policy_text("20/h"), "new.yaml", "incident 7", std::nullopt, alice_);
    ASSERT_TRUE(applied) << applied.error().message();
    EXPECT_EQ(rate_in_force(), "20/h");
    EXPECT_EQ(applied->generation, 2U);
    EXPECT_EQ(control_->version().by, "alice");
    EXPECT_NE(log_text("audit").find("incident 7"), std::string::npos);
}

TEST_F(PolicyControlTest, AnInvalidPolicyIsRefusedWithItsPlaceAndChangesNothing) {
    const auto refused = control_->apply(policy_text("20/x"), "new.yaml", "", std::nullopt, alice_);
    ASSERT_FALSE(refused);
    ASSERT_FALSE(refused.error().problems.empty());
    EXPECT_EQ(refused.error().problems[0].file, "new.yaml");
    EXPECT_EQ(refused.error().problems[0].line, 4U);
    EXPECT_EQ(rate_in_force(), "10/h");
    EXPECT_EQ(control_->history().versions().size(), 1U);
}

TEST_F(PolicyControlTest, WhatTheKernelRefusesIsInForceNowhere) {
    kernel_.refuse_apply = true;
    const auto refused = control_->apply(policy_text("20/h"), "new.yaml", "", std::nullopt, alice_);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error->code, ErrorCode::kExhausted);
    EXPECT_EQ(rate_in_force(), "10/h");
    EXPECT_EQ(control_->version().n, 1U);
}

TEST_F(PolicyControlTest, NotConfirmedInTimeItIsTakenBack) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "new.yaml", "", kMinute, alice_));
    EXPECT_TRUE(control_->confirm_by_wall());
    control_->tick(monotonic_now() + 59 * kSecond);
    EXPECT_EQ(rate_in_force(), "20/h");
    control_->tick(monotonic_now() + 61 * kSecond);
    EXPECT_EQ(rate_in_force(), "10/h");
    EXPECT_FALSE(control_->confirm_by_wall());
    EXPECT_EQ(control_->version().origin, "rollback");
    EXPECT_EQ(control_->history().find(2)->outcome, "rolled_back");
    EXPECT_EQ(control_->confirm(alice_).error().code, ErrorCode::kConflict);
}

TEST_F(PolicyControlTest, ConfirmedItStays) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "new.yaml", "", kMinute, alice_));
    EXPECT_EQ(control_->apply(policy_text("30/h"), "x", "", std::nullopt, alice_).error().error->code,
              ErrorCode::kConflict);
    ASSERT_TRUE(control_->confirm(alice_));
    control_->tick(monotonic_now() + kHour);
    EXPECT_EQ(rate_in_force(), "20/h");
}

TEST_F(PolicyControlTest, RollbackGoesToTheOneBeforeOrToANumber) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "", std::nullopt, alice_));
    ASSERT_TRUE(control_->apply(policy_text("30/h"), "c", "", std::nullopt, alice_));
    ASSERT_TRUE(control_->rollback(std::nullopt, alice_));
    EXPECT_EQ(rate_in_force(), "20/h");
    ASSERT_TRUE(control_->rollback(1, alice_));
    EXPECT_EQ(rate_in_force(), "10/h");
    EXPECT_EQ(control_->rollback(99, alice_).error().error->code, ErrorCode::kNotFound);
}

TEST_F(PolicyControlTest, ARollbackTakesBackWhatWaits) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "", kMinute, alice_));
    ASSERT_TRUE(control_->rollback(std::nullopt, alice_));
    EXPECT_EQ(rate_in_force(), "10/h");
    EXPECT_FALSE(control_->confirm_by_wall());
}

TEST_F(PolicyControlTest, TheFileIsFollowed) {
    write("policy.yaml", policy_text("11/h"));
    look_twice();
    EXPECT_EQ(rate_in_force(), "11/h");
    write("policy.yaml", "name: [");
    look_twice();
    EXPECT_EQ(rate_in_force(), "11/h");
    EXPECT_NE(control_->file_problem().find("policy.yaml:1:"), std::string::npos) << control_->file_problem();
    write("policy.yaml", policy_text("12/h"));
    look_twice();
    EXPECT_EQ(rate_in_force(), "12/h");
    EXPECT_EQ(control_->file_problem(), "");
}

TEST_F(PolicyControlTest, AListThatThePolicyNamesIsFollowedToo) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "", std::nullopt, alice_));
    write("deny.txt", "198.51.100.0/24\n203.0.113.0/24\n");
    look_twice();
    EXPECT_EQ(kernel_.applied.deny.prefixes.size(), 2U);
    EXPECT_EQ(rate_in_force(), "20/h") << "the applied policy stays, with the new list";
    EXPECT_EQ(control_->version().origin, "api");
}

TEST_F(PolicyControlTest, AChangeOfTheFileWhileAPolicyWaitsIsSeenOnceItIsSettled) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "", kMinute, alice_));
    write("policy.yaml", policy_text("33/h"));
    look_twice();
    EXPECT_EQ(rate_in_force(), "20/h");
    ASSERT_TRUE(control_->rollback(std::nullopt, alice_));
    look_twice();
    EXPECT_EQ(rate_in_force(), "33/h");
}

TEST_F(PolicyControlTest, AfterARestartTheMostRecentDecisionHolds) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "", std::nullopt, alice_));
    control_ = make();
    std::string note;
    ASSERT_TRUE(control_->start(note));
    EXPECT_EQ(rate_in_force(), "20/h");
    EXPECT_NE(note.find("resumed"), std::string::npos) << note;

    write("policy.yaml", policy_text("44/h"));
    control_ = make();
    ASSERT_TRUE(control_->start(note));
    EXPECT_EQ(rate_in_force(), "44/h");
    EXPECT_EQ(control_->version().origin, "file");
}

TEST_F(PolicyControlTest, AFullDiskDoesNotStopAChange) {
    ledger_.full = true;
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "", std::nullopt, alice_));
    EXPECT_EQ(rate_in_force(), "20/h");
    ledger_.full = false;
    control_->tick(monotonic_now());
    EXPECT_NE(ledger_.documents.at("policy_history").find("20/h"), std::string::npos);
}

TEST_F(PolicyControlTest, TheSamePolicyAgainIsNoChange) {
    const auto again = control_->apply(policy_text("10/h"), "b", "", kMinute, alice_);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->generation, 1U);
    EXPECT_FALSE(control_->confirm_by_wall());
}

class PolicyOfTheFleetTest : public PolicyControlTest {
  protected:
    void SetUp() override {
        PolicyControlTest::SetUp();
        control_->share_with([this](const PolicyVersion& version) {
            told_.push_back(version.by + " " + version.reason + " " + version.text);
        });
    }
    std::vector<std::string> told_;
};

TEST_F(PolicyOfTheFleetTest, WhatIsSettledIsToldAndNothingElse) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "incident", std::nullopt, alice_));
    EXPECT_EQ(told_, (std::vector<std::string>{"alice incident " + policy_text("20/h")}));
    ASSERT_TRUE(control_->apply(policy_text("30/h"), "c", "drill", kMinute, alice_));
    EXPECT_EQ(told_.size(), 1U) << "it waits to be confirmed";
    ASSERT_TRUE(control_->confirm(alice_));
    EXPECT_EQ(told_.back(), "alice drill " + policy_text("30/h"));
    ASSERT_TRUE(control_->rollback(std::nullopt, alice_));
    EXPECT_EQ(told_.back(), "alice rollback to version 2 " + policy_text("20/h"));
    EXPECT_EQ(told_.size(), 3U);
    ASSERT_TRUE(control_->apply(policy_text("40/h"), "d", "", kMinute, alice_));
    ASSERT_TRUE(control_->rollback(std::nullopt, alice_));
    EXPECT_FALSE(control_->apply("name: [", "e", "", std::nullopt, alice_));
    write("policy.yaml", policy_text("11/h"));
    look_twice();
    EXPECT_EQ(rate_in_force(), "11/h");
    EXPECT_EQ(told_.size(), 3U) << "neither what was taken back, nor what was refused, nor the file's";
}

TEST_F(PolicyOfTheFleetTest, TheFleetsIsTakenAndNotToldOnAndResumed) {
    ASSERT_TRUE(control_->take(policy_text("20/h"), "bob", "host-1", "drill"));
    EXPECT_EQ(rate_in_force(), "20/h");
    EXPECT_EQ(control_->version().origin, "fleet");
    EXPECT_EQ(control_->version().by, "bob on host-1");
    EXPECT_NE(log_text("audit").find("host host-1 of the fleet"), std::string::npos);
    const std::uint64_t generation = kernel_.generation();
    ASSERT_TRUE(control_->take(policy_text("20/h"), "bob", "host-1", "drill"));
    EXPECT_EQ(kernel_.generation(), generation);
    EXPECT_TRUE(told_.empty());
    control_ = make();
    std::string note;
    ASSERT_TRUE(control_->start(note));
    EXPECT_EQ(rate_in_force(), "20/h") << note;
}

TEST_F(PolicyOfTheFleetTest, WhatIsRefusedHereChangesNothingAndIsSaidOnce) {
    for (int tries = 0; tries < 3; ++tries)
        EXPECT_FALSE(control_->take(policy_text("20/x"), "bob", "host-1", "drill"));
    EXPECT_EQ(rate_in_force(), "10/h");
    EXPECT_NE(control_->fleet_problem().find("policy of host-1:4:"), std::string::npos)
        << control_->fleet_problem();
    const std::string log = log_text("audit");
    const std::size_t first = log.find("policy of host-1");
    ASSERT_NE(first, std::string::npos);
    EXPECT_EQ(log.find("\n", first), log.size() - 1) << "one record";
    ASSERT_TRUE(control_->take(policy_text("20/h"), "bob", "host-1", "drill"));
    EXPECT_EQ(control_->fleet_problem(), "");
    kernel_.refuse_apply = true;
    EXPECT_FALSE(control_->take(policy_text("30/h"), "bob", "host-1", "drill"));
    EXPECT_EQ(rate_in_force(), "20/h");
}

TEST_F(PolicyOfTheFleetTest, WhileOneWaitsToBeConfirmedNoneIsTaken) {
    ASSERT_TRUE(control_->apply(policy_text("20/h"), "b", "", kMinute, alice_));
    const auto taken = control_->take(policy_text("30/h"), "bob", "host-1", "");
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().error->code, ErrorCode::kConflict);
    EXPECT_EQ(rate_in_force(), "20/h");
    control_->tick(monotonic_now() + 61 * kSecond);
    ASSERT_TRUE(control_->take(policy_text("30/h"), "bob", "host-1", ""));
    EXPECT_EQ(rate_in_force(), "30/h");
}

}  // namespace
}  // namespace sluice
