#include "api/policy_history.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

PolicyVersion version(const PolicyHistory& history, std::string hash, std::string origin = "file",
                      std::string outcome = "active") {
    PolicyVersion made;
    made.n = history.next_number();
    made.hash = std::move(hash);
    made.origin = std::move(origin);
    made.file_hash = "file-1";
    made.outcome = std::move(outcome);
    return made;
}

TEST(PolicyHistory, ANewVersionReplacesTheOld) {
    PolicyHistory history;
    history.add(version(history, "a"));
    history.add(version(history, "b", "api"));
    EXPECT_EQ(history.newest()->hash, "b");
    EXPECT_EQ(history.find(1)->outcome, "replaced");
    EXPECT_EQ(history.find(3), nullptr);
    EXPECT_EQ(history.previous()->hash, "a");
}

TEST(PolicyHistory, TheMostRecentDecisionIsResumed) {
    PolicyHistory history;
    EXPECT_EQ(history.resumable("file-1"), nullptr);
    history.add(version(history, "a"));
    EXPECT_EQ(history.resumable("file-1"), nullptr) << "it came from the file: the file is read";
    history.add(version(history, "b", "api"));
    ASSERT_NE(history.resumable("file-1"), nullptr);
    EXPECT_EQ(history.resumable("file-1")->hash, "b");
    EXPECT_EQ(history.resumable("file-2"), nullptr) << "the file changed since: it is newer";
}

TEST(PolicyHistory, AnUnconfirmedVersionIsNeverResumed) {
    PolicyHistory history;
    history.add(version(history, "a", "api"));
    history.add(version(history, "b", "api", "unconfirmed"));
    EXPECT_EQ(history.resumable("file-1")->hash, "a");
    history.mark_rolled_back();
    EXPECT_EQ(history.newest()->outcome, "rolled_back");
    history.add(version(history, "c", "api", "unconfirmed"));
    history.confirm();
    EXPECT_EQ(history.resumable("file-1")->hash, "c");
}

TEST(PolicyHistory, RollbackSkipsWhatWasRolledBackAndWhatIsTheSame) {
    PolicyHistory history;
    history.add(version(history, "a"));
    history.add(version(history, "b", "api", "unconfirmed"));
    history.mark_rolled_back();
    history.add(version(history, "c", "api"));
    history.add(version(history, "c", "file"));
    EXPECT_EQ(history.previous()->hash, "a");
}

TEST(PolicyHistory, SurvivesItsDocument) {
    PolicyHistory history;
    history.add(version(history, "a"));
    history.add(version(history, "b", "api"));
    const PolicyHistory read = PolicyHistory::from_document(history.to_document());
    ASSERT_EQ(read.versions().size(), 2U);
    EXPECT_EQ(read.newest()->hash, "b");
    EXPECT_EQ(read.next_number(), 3U);
    EXPECT_TRUE(PolicyHistory::from_document("{}").versions().empty());
    EXPECT_TRUE(PolicyHistory::from_document("not json").versions().empty());
    EXPECT_TRUE(PolicyHistory::from_document(R"({"version":1,"versions":[{"n":"x"}]})").versions().empty());
}

TEST(PolicyHistory, IsBounded) {
    PolicyHistory history;
    for (std::size_t i = 0; i < PolicyHistory::kKept + 5; ++i)
        history.add(version(history, std::to_string(i)));
    EXPECT_EQ(history.versions().size(), PolicyHistory::kKept);
    EXPECT_EQ(history.newest()->n, PolicyHistory::kKept + 5);
}

}  // namespace
}  // namespace sluice
