#include "api/route_table.hpp"

#include <gtest/gtest.h>

namespace sluice {
namespace {

std::vector<Route> routes() {
    Route login;
    login.name = "login";
    login.path = "/api/auth/login";
    login.methods = {"POST"};
    Route ai;
    ai.name = "ai";
    ai.path = "/api/ai/openai/**";
    Route item;
    item.name = "item";
    item.path = "/api/items/*/parts";
    Route rest;
    rest.name = "rest";
    rest.path = "/api/**";
    return {login, ai, item, rest};
}

TEST(RouteTable, FirstMatchWins) {
    const RouteTable table{routes()};
    EXPECT_EQ(table.match("POST", "/api/auth/login"), 0U);
    EXPECT_EQ(table.match("GET", "/api/auth/login"), 3U);
    EXPECT_EQ(table.match("GET", "/api/ai/openai/chat"), 1U);
    EXPECT_EQ(table.match("GET", "/api/ai/openai/a/b/c"), 1U);
    EXPECT_EQ(table.match("GET", "/api/items/7/parts"), 2U);
    EXPECT_EQ(table.match("GET", "/other"), std::nullopt);
}

TEST(RouteTable, NoSpellingOfAMethodIsAWayAround) {
    const RouteTable table{routes()};
    EXPECT_EQ(table.match("post", "/api/auth/login"), 0U);
    EXPECT_EQ(table.match("PoSt", "/api/auth/login"), 0U);
    EXPECT_EQ(table.match("POSTX", "/api/auth/login"), 3U);
    EXPECT_EQ(table.match("HEAD", "/api/auth/login"), 3U);
    Route get;
    get.path = "/api/ai/**";
    get.methods = {"GET"};
    EXPECT_EQ(RouteTable{{get}}.match("HEAD", "/api/ai/x"), 0U);
    EXPECT_EQ(RouteTable{{get}}.match("OPTIONS", "/api/ai/x"), std::nullopt);
    Route head = get;
    head.methods = {"HEAD"};
    EXPECT_EQ((RouteTable{{head, get}}.match("HEAD", "/api/ai/x")), 0U);
    EXPECT_EQ((RouteTable{{head, get}}.match("GET", "/api/ai/x")), 1U);
}

TEST(RouteTable, RestMatchesTheFolderItselfButNoLongerName) {
    const RouteTable table{routes()};
    EXPECT_EQ(table.match("GET", "/api/ai/openai"), 1U);
    EXPECT_EQ(table.match("GET", "/api/ai/openai/"), 1U);
    EXPECT_EQ(table.match("GET", "/api/ai/openaix"), 3U);
    EXPECT_EQ(table.match("GET", "/apix"), std::nullopt);
    EXPECT_EQ(table.match("GET", "/api"), 3U);
}

TEST(RouteTable, OneStarIsOneNonEmptySegment) {
    const RouteTable table{routes()};
    EXPECT_EQ(table.match("GET", "/api/items//parts"), 3U);
    EXPECT_EQ(table.match("GET", "/api/items/7/8/parts"), 3U);
    EXPECT_EQ(table.match("GET", "/api/items/7/parts/"), 3U);
    EXPECT_EQ(table.match("GET", "/api/items/7"), 3U);
}

TEST(RouteTable, RootAndEmpty) {
    EXPECT_EQ(RouteTable{}.match("GET", "/"), std::nullopt);
    Route all;
    all.path = "/**";
    const RouteTable table{{all}};
    EXPECT_EQ(table.match("GET", "/"), 0U);
    EXPECT_EQ(table.match("GET", "/x/y"), 0U);
}

}  // namespace
}  // namespace sluice
