#include "api/admin_json.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

std::string mistake(const std::string& body) {
    JsonBody json{body, {"source", "for_s"}};
    json.text("source", true);
    json.whole("for_s", false);
    return json.error() ? json.error()->message : "";
}

TEST(JsonBody, AMistakeNamesItsMember) {
    EXPECT_EQ(mistake(R"({"source":"192.0.2.1","for_s":60})"), "");
    EXPECT_EQ(mistake(R"({"source":"192.0.2.1","for_s":"60"})"),
              "'for_s' is not a whole number from 0 to 2147483647");
    EXPECT_EQ(mistake(R"({"for_s":60})"), "'source' is missing");
    EXPECT_EQ(mistake(R"({"source":"192.0.2.1","x":1})"), "unknown member 'x'; allowed: for_s, source");
    EXPECT_EQ(mistake("[1]"), "the body is not a JSON object");
    EXPECT_EQ(mistake(R"({"source":)"), "the body is not a JSON object");
}

TEST(JsonBody, AMemberThatStandsTwiceIsRefused) {
    EXPECT_EQ(mistake(R"({"source":"192.0.2.1","source":"192.0.2.2"})"), "'source' stands more than once");
    EXPECT_EQ(mistake(R"({"source":"192.0.2.1","so\u0075rce":"192.0.2.2"})"),
              "'source' stands more than once");
}

}  // namespace
}  // namespace sluice
